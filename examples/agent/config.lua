-- An agent behind lunacast. The agent is another server; without AGENT_URL it is the one in
-- upstream/, which thinks offline.
local agent = env "AGENT_URL" or "http://127.0.0.1:9000"

return {
  listen = { "127.0.0.1:8080" },
  app = { agent = agent },
  -- What it says without anybody asked in between, for whoever has a token.
  gateway = { { prefix = "/api/agent", upstream = agent, strip = 2, identity = true } },
}

-- An agent that thinks offline, always the same. AGENT_PACE: seconds between two thoughts.
return {
  listen = { "127.0.0.1:9000" },
  app = { pace = tonumber(env "AGENT_PACE" or "") or 0.5 },
}

-- Streams of handlers that outlive their clients (web.sse with `resume`): what a client may have
-- missed and still get.
return {
  rules = {
    ["stream:*"] = {
      mode = "log", history = { messages = 1000, bytes = 1 << 20, age = 300 }, slow = "pause",
    },
  },
}

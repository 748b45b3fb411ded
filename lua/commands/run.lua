-- Done by src/main.c; here for its help.
return {
  summary = "serve the application in DIR (default: here)",
  usage = "run [DIR] [options]",
  native = true,
  options = {
    { "listen", "HOST:PORT",
      help = "accept here; again for more; port 0 picks a free one; unix:PATH" },
    { "workers", "N", help = "threads that serve (default: one per core)" },
    { "data", "DIR", help = "folder of the embedded store (default: DIR/data)" },
    { "set", "KEY=VALUE", help = "any setting, again for more; `lunacast config` lists them" },
  },
  examples = {
    "lunacast run",
    "lunacast run shop --listen 127.0.0.1:8080 --listen unix:/run/shop.sock",
    "lunacast run --workers 2 --set max_fps=30 --set redis.url=redis://localhost",
  },
}

-- What happens to posts: who comes back within an hour gets what it missed.
return {
  rules = {
    ["posts:events"] = { mode = "log", history = { messages = 300, bytes = 1 << 20, age = 3600 } },
  },
}

-- Content types by file name.
local TYPES = {
  avif = "image/avif",
  bin = "application/octet-stream",
  css = "text/css; charset=utf-8",
  csv = "text/csv; charset=utf-8",
  gif = "image/gif",
  gz = "application/gzip",
  htm = "text/html; charset=utf-8",
  html = "text/html; charset=utf-8",
  ico = "image/x-icon",
  jpeg = "image/jpeg",
  jpg = "image/jpeg",
  js = "text/javascript; charset=utf-8",
  json = "application/json",
  map = "application/json",
  md = "text/markdown; charset=utf-8",
  mjs = "text/javascript; charset=utf-8",
  mp3 = "audio/mpeg",
  mp4 = "video/mp4",
  ogg = "audio/ogg",
  otf = "font/otf",
  pdf = "application/pdf",
  png = "image/png",
  svg = "image/svg+xml",
  tar = "application/x-tar",
  ttf = "font/ttf",
  txt = "text/plain; charset=utf-8",
  wasm = "application/wasm",
  wav = "audio/wav",
  webm = "video/webm",
  webmanifest = "application/manifest+json",
  webp = "image/webp",
  woff = "font/woff",
  woff2 = "font/woff2",
  xml = "application/xml",
  yaml = "application/yaml",
  yml = "application/yaml",
  zip = "application/zip",
}


--- The content type of a file; bytes of an unknown kind when its ending says nothing.
---@param path string
---@return string
return function(path)
  local ending = path:match "%.([%w]+)$"
  return ending and TYPES[ending:lower()] or "application/octet-stream"
end

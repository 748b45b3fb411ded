-- Writes a C file that holds every file of lua/, templates/, plugins/ and public/, and the modules
-- of clients/js/, as bytes, sorted by name.
-- usage: lua embed.lua SOURCE_DIR OUTPUT
-- The table's shape is declared in src/base/embedded.h.
local source, output = arg[1], arg[2]

local names = {}
for _, folder in ipairs { "lua", "templates", "plugins", "public", "clients/js" } do
  local list = assert(io.popen(("cd '%s' && find %s -type f"):format(source, folder)))
  for name in list:lines() do
    local module = name:match "%.mjs$" or not name:match "^clients/"
    local text = name:match "^plugins/.*%.md$"
    if module and not text then names[#names + 1] = name end
  end
  list:close()
end
table.sort(names)

local escape = {}
for byte = 0, 255 do
  escape[string.char(byte)] = ("\\%03o"):format(byte)
end
for byte = 32, 126 do
  local c = string.char(byte)
  if not c:match "[\\\"?]" then escape[c] = c end
end

local out = assert(io.open(output, "w"))
out:write '#include <stddef.h>\n'
out:write 'struct embedded_file { const char *name; const char *data; size_t len; };\n'
out:write 'extern const struct embedded_file embedded_files[];\n'
out:write 'extern const size_t embedded_count;\n'
out:write 'const struct embedded_file embedded_files[] = {\n'
for _, name in ipairs(names) do
  local file = assert(io.open(source .. "/" .. name, "rb"))
  local text = file:read "a"
  file:close()
  out:write('{"', name, '",\n')
  for start = 1, #text, 64 do
    out:write('"', (text:sub(start, start + 63):gsub(".", escape):gsub("\n", escape["\n"])), '"\n')
  end
  if text == "" then out:write '""\n' end
  out:write(", ", #text, "},\n")
end
out:write('{NULL, NULL, 0}};\nconst size_t embedded_count = ', #names, ";\n")
out:close()

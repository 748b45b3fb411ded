std = "lua54"
max_line_length = 100
exclude_files = { "build*/", "data/", "node_modules/" }
files["spec"] = { std = "lua54+busted", max_line_length = 125 }
files["spec/codec/string_spec.lua"] = { ignore = { "512" } }
files["spec/support/busted.lua"] = { globals = { "arg", "os" } }
files["lua/meta"] = { unused_args = false, unused_secondaries = false, max_line_length = 170, ignore = { "241" } }
files["bench"] = { std = "lua54", max_line_length = 110, globals = { "wrk" } }
files["config.lua"] = { allow_defined = true }
files["examples"] = { read_globals = { "env" } }
files["cmake"] = { globals = { "arg" } }

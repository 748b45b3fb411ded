-- The built-in functions: function(args, R).
local clock = require "web.template.clock"
local dates = require "web.template.dates"
local fail = require "web.template.fail"
local runtime = require "web.template.runtime"
local value = require "web.template.value"

local functions = {}

-- A list of more numbers than this is refused; a loop over `range` makes no list.
local MOST_NUMBERS <const> = 100000

function functions.range(args, R)
  local count, first, step = runtime.span(R, args.start, args["end"], args.step_by, R[1])
  if count > MOST_NUMBERS then
    error({ message = ("`range` gives a list of %d numbers; at most %d are possible")
      :format(count, MOST_NUMBERS), limit = "steps" }, 0)
  end
  runtime.charge(R, count // 4)
  local list = {}
  for i = 1, count do list[i] = first + (i - 1) * step end
  return value.array(list)
end

function functions.now(args)
  local name = "function 'now'"
  local utc = fail.boolean(name, args, "utc", false)
  local timestamp = fail.boolean(name, args, "timestamp", false)
  local seconds, nanoseconds = clock.now()
  if timestamp then return seconds end
  return dates.rfc3339(seconds, nanoseconds, not utc)
end

functions["throw"] = function(args)
  local message = fail.string("function 'throw'", args, "message")
  fail.raise(message)
end

function functions.get_random(args)
  local name = "function 'get_random'"
  local first = fail.integer(name, args, "start", 0)
  local stop = fail.integer(name, args, "end")
  if first >= stop then
    fail.raise(("%s: no integer lies between `start` %d and `end` %d"):format(name, first, stop))
  end
  return math.random(first, stop - 1)
end

-- Only where scripts may read the environment: `lunacast lua`, whose user it belongs to.
local getenv = os.getenv or function() end

function functions.get_env(args)
  local name = fail.string("function 'get_env'", args, "name")
  local found = getenv(name)
  if found == nil then found = args.default end
  if found == nil then fail.raise(("no environment variable '%s'"):format(name:sub(1, 80))) end
  return found
end

return functions

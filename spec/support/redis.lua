-- The same as a user of `lunacast test` has.
return require "host.test.redis"

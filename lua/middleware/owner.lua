-- After `bearer`: only the user who is named in the path may go on.
local web = require "web"

return function(req, next)
  if req.claims.sub ~= req.params.user_id then
    web.throw(403, "forbidden", "the token belongs to another user than the one in the path")
  end
  return next(req)
end

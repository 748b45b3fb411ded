-- What is asked of people in a session (hitl.requests): only scripts tell of it, and only who has a
-- token hears it.
return { rules = { hitl = { publish = false, subscribe = "user" } } }

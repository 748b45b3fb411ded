-- wrk's request for the JSON route.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"name":"Ada","prices":[12.5,3,42,7.25,19],"note":"a few words, as they come"}'

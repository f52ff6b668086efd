wrk.method = "POST"
wrk.body = '{"to":"someone@example.com","subject":"hello"}'
wrk.headers["Content-Type"] = "application/json"

-- Tries failed machines again: any new token says so.
obj.spec.retryToken = os.date("!%Y-%m-%dT%H:%M:%SZ")
return obj

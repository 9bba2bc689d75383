-- Release a section whoever holds it, for an operator. Returns its fields and values; none if nobody holds it.
-- KEYS: section, index of all sections. ARGV: name
local fields = redis.call('HGETALL', KEYS[1])
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return fields

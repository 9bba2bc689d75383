-- Release sections, each only if it is still this holder's. Returns the names of those released.
-- KEYS: sections of this holder, index of all sections, then one key for each name.
-- ARGV: token, then the names
local released = {}
for at = 2, #ARGV do
    local key, name = KEYS[at + 1], ARGV[at]
    if redis.call('HGET', key, 'token') == ARGV[1] then
        redis.call('DEL', key)
        redis.call('ZREM', KEYS[2], name)
        released[#released + 1] = name
    end
    redis.call('SREM', KEYS[1], name)
end
return released

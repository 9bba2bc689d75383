-- Extend a section's lease, if it is still this holder's. Returns 1 or 0.
-- KEYS: section, index of all sections, sections of this holder. ARGV: name, token, ttl in ms
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[2] then
    return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'renewed', now)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[3]), ARGV[1])
redis.call('PEXPIRE', KEYS[3], ARGV[3])
return 1

-- What tells whether workers are alive, in one round trip. KEYS[1]: the set of the keys of a queue's workers;
-- ARGV[1]: what their keys begin with; ARGV[2]: what the names of their channels begin with; then fields of their hashes.
-- Returns {key, {values}, pttl, subscribers} of each. Reads only.
local fields, found = {}, {}
for at = 3, #ARGV do
    fields[#fields + 1] = ARGV[at]
end
for _, key in ipairs(redis.call('SMEMBERS', KEYS[1])) do
    local channel = ARGV[2] .. string.sub(key, #ARGV[1] + 1)
    found[#found + 1] = {
        key,
        redis.call('HMGET', key, unpack(fields)),
        redis.call('PTTL', key),
        redis.call('PUBSUB', 'NUMSUB', channel)[2],
    }
end
return found

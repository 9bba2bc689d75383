-- Push a job again that has ended, if it is as it was when it was chosen.
-- KEYS: job, the registry it is in, queue, set of all queues
-- ARGV: job id, revision ("status enqueued_at ended_at"), now in ISO 8601, our field of the job, its new value ("" to
--       leave it)
-- Returns done, gone, changed or rate_limited.
local fields = redis.call('HMGET', KEYS[1], 'status', 'enqueued_at', 'ended_at', 'rate_limit_key', 'ttl')
if not fields[1] then
    return 'gone'
end
local revision = fields[1] .. ' ' .. (fields[2] or '') .. ' ' .. (fields[3] or '')
if revision ~= ARGV[2] then
    return 'changed'
end
if fields[4] and fields[4] ~= '' then
    return 'rate_limited'
end
if redis.call('ZREM', KEYS[2], ARGV[1]) == 0 then
    return 'changed'
end
redis.call('HSET', KEYS[1], 'status', 'queued', 'enqueued_at', ARGV[3], 'started_at', '', 'ended_at', '')
redis.call('HDEL', KEYS[1], 'exc_info')
if ARGV[5] ~= '' then
    redis.call('HSET', KEYS[1], ARGV[4], ARGV[5])
end
local ttl = tonumber(fields[5] or '')
if ttl and ttl > 0 then
    redis.call('EXPIRE', KEYS[1], ttl)
else
    redis.call('PERSIST', KEYS[1])
end
redis.call('SADD', KEYS[4], KEYS[3])
redis.call('RPUSH', KEYS[3], ARGV[1])
return 'done'

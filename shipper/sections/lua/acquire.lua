-- Take a section, or tell who holds it.
-- KEYS: section, waiters, index of all sections, sections of this holder, counters and the last fence
-- ARGV: name, token, job id, who (JSON, for those who ask later), ttl in ms, beat in ms, token of a holder that the caller
--       has seen dead, template, whether it waits: 0 no, 1 yes, 2 yes and this is a new try
-- Returns {1, fence, ms since the first try, tries before} or
--         {0, token, job id, held since in ms, who, ms since the first try, tries}.
local REMEMBERED_MS = 86400000 -- for which a waiter, or the section of a dead holder, is kept in mind
local name, token, job_id, ttl, mode = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[5]), ARGV[9]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local holder = redis.call('HMGET', KEYS[1], 'token', 'job', 'since', 'renewed', 'beat', 'who')
local held_by = holder[1]
local waiter = job_id ~= '' and job_id or token

-- When this waiter first tried, and how often it has: "first tries latest".
local noted = mode ~= '0' and redis.call('HGET', KEYS[2], waiter)
local first, tries = now, 0
if noted then
    local first_text, tries_text = string.match(noted, '^(%d+) (%d+)')
    first, tries = tonumber(first_text), tonumber(tries_text)
end

-- Whether the holder is another process of the caller's machine, which sees for itself whether that lives.
local function is_seen()
    local theirs, ours = cjson.decode(holder[6]), cjson.decode(ARGV[4])
    return ours[2] ~= '' and theirs[2] == ours[2] and theirs[3] ~= ours[3]
end

-- A job's retry gets back in: its earlier execution is dead, or has not renewed the lease for two beats and a half. One
-- that is seen to live may not have done so as it waits for the processor.
local is_retry = held_by and job_id ~= '' and holder[2] == job_id
local is_gone = held_by == ARGV[7]
    or (is_retry and now - tonumber(holder[4]) > 2.5 * tonumber(holder[5]) and not is_seen())
if held_by and held_by ~= token and not (is_retry and is_gone) then
    if mode == '2' then
        tries = tries + 1
        redis.call('HINCRBY', KEYS[5], ARGV[8] .. '|waits', 1)
    end
    if mode ~= '0' then
        redis.call('HSET', KEYS[2], waiter, string.format('%.0f %.0f %.0f', first, tries, now))
        redis.call('PEXPIRE', KEYS[2], REMEMBERED_MS)
    end
    return {0, held_by, holder[2], tonumber(holder[3]), holder[6], now - first, tries}
end

-- Greater than any before, also if Redis has lost the last one: then it is the time in microseconds.
local last = tonumber(redis.call('HGET', KEYS[5], 'fence') or '0')
local fence = string.format('%.0f', math.max(last + 1, time[1] * 1000000 + time[2]))
redis.call('HSET', KEYS[5], 'fence', fence)
redis.call('HSET', KEYS[1], 'token', token, 'job', job_id, 'who', ARGV[4], 'since', now, 'renewed', now, 'beat', ARGV[6],
    'fence', fence)
redis.call('PEXPIRE', KEYS[1], ttl)
redis.call('ZADD', KEYS[3], now + ttl, name)
if now % 64 == 0 then
    redis.call('ZREMRANGEBYSCORE', KEYS[3], 0, now - REMEMBERED_MS)
end
redis.call('SADD', KEYS[4], name)
redis.call('PEXPIRE', KEYS[4], ttl)
if noted then
    redis.call('HDEL', KEYS[2], waiter)
    redis.call('HINCRBY', KEYS[5], ARGV[8] .. '|waited_ms', string.format('%.0f', now - first))
end
return {1, fence, now - first, tries}

-- Take a section, or tell who holds it.
-- KEYS: section, waiters, index of all sections, last fence, sections of this holder, counters
-- ARGV: name, token, job id, execution id, function, place, process, ttl in ms, beat in ms,
--       token of a holder that the caller has seen dead, who waits (a job id or token), whether that is a new try (0/1),
--       template, how long a waiter is remembered in ms
-- Returns {1, fence, ms since the first try, tries before} or
--         {0, token, job id, function, held since in ms, place, process, ms since the first try, tries}.
local name, token, job_id, ttl, waiter = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[8]), ARGV[11]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local holder = redis.call('HMGET', KEYS[1], 'token', 'job', 'function', 'since', 'place', 'process', 'renewed', 'beat')
local held_by = holder[1]

-- When this waiter first tried, and how often it has: "ms tries".
local first, tries = now, 0
if waiter ~= '' then
    local noted = redis.call('HGET', KEYS[2], waiter)
    if noted then
        local first_text, tries_text = string.match(noted, '^(%d+) (%d+)')
        first, tries = tonumber(first_text), tonumber(tries_text)
    end
end

-- A job's retry gets back in: its earlier execution is dead, or has not renewed the lease for two beats and a half.
local is_retry = held_by and job_id ~= '' and holder[2] == job_id
local is_gone = held_by == ARGV[10] or (is_retry and now - tonumber(holder[7]) > 2.5 * tonumber(holder[8]))
if held_by and held_by ~= token and not (is_retry and is_gone) then
    tries = tries + tonumber(ARGV[12])
    if waiter ~= '' then
        redis.call('HSET', KEYS[2], waiter, string.format('%.0f %.0f %.0f', first, tries, now))
        redis.call('PEXPIRE', KEYS[2], ARGV[14])
        redis.call('HINCRBY', KEYS[6], ARGV[13] .. '|waits', ARGV[12])
    end
    return {0, held_by, holder[2], holder[3], tonumber(holder[4]), holder[5], holder[6], now - first, tries}
end

-- Greater than any before, also if Redis has lost the last one: then it is the time in microseconds.
local last = tonumber(redis.call('GET', KEYS[4]) or '0')
local fence = string.format('%.0f', math.max(last + 1, time[1] * 1000000 + time[2]))
redis.call('SET', KEYS[4], fence)
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'name', name, 'token', token, 'job', job_id, 'execution', ARGV[4], 'function', ARGV[5],
    'place', ARGV[6], 'process', ARGV[7], 'since', now, 'renewed', now, 'beat', ARGV[9], 'ttl', ttl, 'fence', fence)
redis.call('PEXPIRE', KEYS[1], ttl)
redis.call('ZADD', KEYS[3], now + ttl, name)
redis.call('ZREMRANGEBYSCORE', KEYS[3], 0, now - tonumber(ARGV[14]))
redis.call('SADD', KEYS[5], name)
redis.call('PEXPIRE', KEYS[5], ttl)
local waited = now - first
if waiter ~= '' and redis.call('HDEL', KEYS[2], waiter) == 1 then
    redis.call('HINCRBY', KEYS[6], ARGV[13] .. '|waited_ms', string.format('%.0f', waited))
end
return {1, fence, waited, tries}

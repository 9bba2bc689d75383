-- Claim a unique name for a job, unless another job has it. Returns the id of the job that has it.
-- KEYS: claim. ARGV: job id, prefix of jobs' keys, ms for which the claim holds, ms after which it is forgotten,
--       then the statuses in which a job keeps its name. With statuses, the time only counts until the job is in Redis.
local claim = redis.call('HMGET', KEYS[1], 'job', 'until')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if claim[1] and claim[1] ~= ARGV[1] then
    local taken = now < tonumber(claim[2])
    local status = #ARGV > 4 and redis.call('HGET', ARGV[2] .. claim[1], 'status')
    if status then
        taken = false
        for at = 5, #ARGV do
            taken = taken or status == ARGV[at]
        end
    end
    if taken then
        return claim[1]
    end
end
redis.call('HSET', KEYS[1], 'job', ARGV[1], 'until', string.format('%.0f', now + tonumber(ARGV[3])))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return ARGV[1]

-- queues.find_oldest in one round trip. KEYS[1]: the list of a queue; ARGV[1]: what keys of jobs begin with.
-- Returns {job id, enqueued_at} of the oldest job found, {} if there is none. Reads only.
-- RQ writes all times in one format, in UTC, so they are compared as text.
local PROBES, STEPS = 16, 6
local known, depth = {}, redis.call('LLEN', KEYS[1])

local function look(position)
    local id = redis.call('LINDEX', KEYS[1], position)
    local time = id and redis.call('HGET', ARGV[1] .. id, 'enqueued_at')
    if time and time ~= '' then
        known[position] = {id, time}
    end
end

local function best_of(positions)
    local best
    for at, position in ipairs(positions) do
        if not best or known[position][2] < known[positions[best]][2] then
            best = at
        end
    end
    return best
end

local low, high = 0, depth - 1
local seen = {}
for _, position in ipairs({0, 1}) do
    if position < depth then
        look(position)
    end
end
if depth > 2 and not (known[0] and known[1] and known[0][2] <= known[1][2]) then
    for _ = 1, STEPS do
        local width = high - low
        for step = 0, PROBES - 1 do
            look(low + math.floor(width * step / (PROBES - 1)))
        end
        seen = {}
        for position in pairs(known) do
            seen[#seen + 1] = position
        end
        table.sort(seen)
        local best = best_of(seen)
        if not best then
            return {}
        end
        low, high = seen[math.max(best - 1, 1)], seen[math.min(best + 1, #seen)]
        if width < PROBES then
            break
        end
    end
end
seen = {}
for position in pairs(known) do
    seen[#seen + 1] = position
end
table.sort(seen)
local best = best_of(seen)
return best and known[seen[best]] or {}

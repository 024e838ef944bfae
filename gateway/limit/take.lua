-- Takes what a request needs from every bucket, or from none if one that refuses is short.
-- KEYS[2i-1]: a bucket, kept as "debt time" (see rate.go); KEYS[2i]: the reservations open on it, a sorted set of "id|need" by the
-- millisecond in which their lease ends. ARGV[1]: this reservation; ARGV[2]: its lease in ms; then for each bucket gain, need,
-- full, mode (0 final, 1 leased, 2 places), soft (1: refuses nobody) and for how many ms a bucket without refill is kept.
-- Returns 1 (taken) or 0, then of every bucket its debt, after taking or as found, and whether it was taken from.
-- Reservations whose lease has run out are returned first, whatever becomes of the request.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local ms = math.floor(now / 1000)
local id, lease = ARGV[1], tonumber(ARGV[2])
local debts, fits, taken = {}, {}, 1

local function put(key, debt, gain, mode, keeps)
  local ttl = keeps
  if gain > 0 then ttl = math.max(1, math.ceil(debt / gain / 1000) + 1) end
  if mode == 1 then ttl = math.max(ttl, 2 * lease) end
  redis.call('SET', key, string.format('%.0f %.0f', debt, now), 'PX', ttl)
  return ttl
end

for i = 1, #KEYS / 2 do
  local key, held, a = KEYS[2 * i - 1], KEYS[2 * i], 6 * i - 4
  local gain, need, full, mode = tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2]), tonumber(ARGV[a + 3]), tonumber(ARGV[a + 4])
  local debt = 0
  if mode == 2 then
    redis.call('ZREMRANGEBYSCORE', held, '-inf', ms)
    debt = redis.call('ZCARD', held)
  else
    local found, at = string.match(redis.call('GET', key) or '', '^(-?%d+) (%d+)$')
    if found then
      debt = tonumber(found)
      if gain > 0 then debt = math.max(0, debt - math.max(0, now - at) * gain) end
    end
    if mode == 1 then
      local over = redis.call('ZRANGEBYSCORE', held, '-inf', ms, 'LIMIT', 0, 1000)
      if #over > 0 then
        for _, member in ipairs(over) do debt = debt - tonumber(string.match(member, '|(%d+)$')) end
        if gain > 0 then debt = math.max(0, debt) end
        redis.call('ZREM', held, unpack(over))
        put(key, debt, gain, mode, tonumber(ARGV[a + 6]))
      end
    end
  end
  debts[i], fits[i] = debt, full - debt >= need
  if not fits[i] and ARGV[a + 5] == '0' then taken = 0 end
end

local answer = {taken}
for i = 1, #KEYS / 2 do
  local key, held, a = KEYS[2 * i - 1], KEYS[2 * i], 6 * i - 4
  local took = 0
  if taken == 1 and fits[i] then
    took = 1
    local mode, need, ttl = tonumber(ARGV[a + 4]), tonumber(ARGV[a + 2]), 2 * lease
    debts[i] = debts[i] + need
    if mode < 2 then ttl = put(key, debts[i], tonumber(ARGV[a + 1]), mode, tonumber(ARGV[a + 6])) end
    if mode > 0 then
      redis.call('ZADD', held, ms + lease, id .. '|' .. ARGV[a + 2])
      redis.call('PEXPIRE', held, math.max(ttl, redis.call('PTTL', held)))
    end
  end
  answer[2 * i], answer[2 * i + 1] = debts[i], took
end
return answer

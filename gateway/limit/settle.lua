-- Settles a reservation in every bucket that it holds something of.
-- KEYS as in take.lua. ARGV[1]: the reservation; ARGV[2]: 1 if its lease may have run out, so that what is not held any more has been
-- returned; ARGV[3]: lease in ms; then for each bucket gain, need (taken), actual (used), mode and for how many ms it is kept.
-- Returns the debt of every bucket that has one.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local answer = {}
for i = 1, #KEYS / 2 do
  local key, held, a = KEYS[2 * i - 1], KEYS[2 * i], 5 * i - 2
  local gain, need, actual, mode = tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2]), tonumber(ARGV[a + 3]), tonumber(ARGV[a + 4])
  local change = actual - need
  if mode > 0 and redis.call('ZREM', held, ARGV[1] .. '|' .. ARGV[a + 2]) == 0 then
    change = 0
    if ARGV[2] == '1' then change = actual end
  end
  answer[i] = 0
  if mode < 2 then
    local found, at = string.match(redis.call('GET', key) or '', '^(-?%d+) (%d+)$')
    local debt = tonumber(found or 0)
    if gain > 0 and found then debt = math.max(0, debt - math.max(0, now - at) * gain) end
    if change ~= 0 then
      local ttl = tonumber(ARGV[a + 5])
      debt = math.min(2 ^ 52, debt + change)
      if gain > 0 then
        debt = math.max(0, debt)
        ttl = math.max(1, math.ceil(debt / gain / 1000) + 1)
      end
      if mode == 1 then ttl = math.max(ttl, 2 * tonumber(ARGV[3])) end
      redis.call('SET', key, string.format('%.0f %.0f', debt, now), 'PX', ttl)
    end
    answer[i] = debt
  end
end
return answer

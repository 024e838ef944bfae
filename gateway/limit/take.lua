-- Takes one request from every bucket, or from none if one of them is short.
-- KEYS[i]: a bucket, kept as "level time"; ARGV[3i-2], ARGV[3i-1], ARGV[3i]: its gain, cost and full (see rate.go).
-- Returns 1 (taken) or 0, then the level of every bucket: after taking, or as found.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local levels, taken = {}, 1
for i, key in ipairs(KEYS) do
  local gain, cost, full = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local level, at = string.match(redis.call('GET', key) or '', '^(-?%d+) (%d+)$')
  if level then
    levels[i] = math.min(full, tonumber(level) + math.max(0, now - at) * gain)
  else
    levels[i] = full
  end
  if levels[i] < cost then taken = 0 end
end
if taken == 1 then
  for i, key in ipairs(KEYS) do
    local gain, cost, full = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
    levels[i] = levels[i] - cost
    redis.call('SET', key, string.format('%.0f %.0f', levels[i], now), 'PX', math.ceil((full - levels[i]) / gain / 1000) + 1)
  end
end
table.insert(levels, 1, taken)
return levels

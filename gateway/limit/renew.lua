-- Renews the lease of a reservation.
-- KEYS[i]: the open reservations of a bucket; ARGV[1]: lease in ms; ARGV[i+1]: the member to renew. One that is gone stays gone.
local clock = redis.call('TIME')
local lease = tonumber(ARGV[1])
local ends = math.floor((clock[1] * 1000000 + clock[2]) / 1000) + lease
for i, key in ipairs(KEYS) do
  redis.call('ZADD', key, 'XX', ends, ARGV[i + 1])
  if redis.call('PTTL', key) < 2 * lease then redis.call('PEXPIRE', key, 2 * lease) end
end
return {1}

-- Stores a cart from PostgreSQL in Redis, unless Redis has the cart by now.
-- KEYS: cart, orders. ARGV: ttl, version, next, lines, currency, merged, into, n, order, … (n of them, latest first), variant,
-- "quantity:position", …
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'next', ARGV[3], 'lines', ARGV[4], 'currency', ARGV[5],
  'merged', ARGV[6], 'into', ARGV[7])
local n = tonumber(ARGV[8])
for i = 1, n do redis.call('ZADD', KEYS[2], number(tonumber(ARGV[2]) - i), ARGV[8 + i]) end
for i = 9 + n, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
if n > 0 then redis.call('PEXPIRE', KEYS[2], ARGV[1]) end
return 1

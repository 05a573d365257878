-- Returns a consistent snapshot of carts of a partition: each cart, its latest orders, latest first, and whether lines of it
-- are moving into another cart. KEYS: cart, orders, moving, …. ARGV: max orders.
local out = {}
for i = 1, #KEYS, 3 do
  out[i], out[i + 1] = redis.call('HGETALL', KEYS[i]), redis.call('ZREVRANGE', KEYS[i + 1], 0, tonumber(ARGV[1]) - 1)
  out[i + 2] = redis.call('EXISTS', KEYS[i + 2])
end
return out

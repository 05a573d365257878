-- Returns a consistent snapshot of carts and their latest orders, latest first. KEYS: cart, orders, …. ARGV: max orders.
local out = {}
for i = 1, #KEYS, 2 do
  out[i], out[i + 1] = redis.call('HGETALL', KEYS[i]), redis.call('ZREVRANGE', KEYS[i + 1], 0, tonumber(ARGV[1]) - 1)
end
return out

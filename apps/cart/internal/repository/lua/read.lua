-- Returns a consistent snapshot of carts and their orders, latest first. KEYS: cart, orders, …
local out = {}
for i = 1, #KEYS, 2 do
  out[i], out[i + 1] = redis.call('HGETALL', KEYS[i]), redis.call('ZREVRANGE', KEYS[i + 1], 0, -1)
end
return out

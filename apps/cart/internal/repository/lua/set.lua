-- KEYS: cart, dirty. ARGV: owner, now, ttl, due, variant, quantity (0 removes).
local meta = redis.call('HMGET', KEYS[1], 'version', 'lines', ARGV[5])
if not meta[1] then return {'missing'} end
local quantity = tonumber(ARGV[6])
if not meta[3] then
  if quantity > 0 then return {'absent'} end
  return {'ok', redis.call('HGETALL', KEYS[1])}
end
local had, position = parse(meta[3])
if quantity == 0 then
  local left = tonumber(meta[2]) - 1
  redis.call('HDEL', KEYS[1], ARGV[5])
  redis.call('HSET', KEYS[1], 'lines', left)
  if left == 0 then redis.call('HSET', KEYS[1], 'currency', '') end
elseif quantity ~= had then
  redis.call('HSET', KEYS[1], ARGV[5], number(quantity) .. ':' .. position)
end
if quantity ~= had then touch(KEYS[1], KEYS[2], ARGV[1], after(meta[1], ARGV[2]), ARGV[3], ARGV[4]) end
return {'ok', redis.call('HGETALL', KEYS[1])}

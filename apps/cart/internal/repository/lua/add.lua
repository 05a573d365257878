-- KEYS: cart, dirty. ARGV: owner, now (µs), ttl (ms), due (ms), variant, quantity, currency, max lines, max quantity.
local meta = redis.call('HMGET', KEYS[1], 'version', 'next', 'lines', 'currency', ARGV[5])
if not meta[1] then return {'missing'} end
local quantity, position, lines, currency = tonumber(ARGV[6]), meta[2], tonumber(meta[3]), meta[4]
local next = meta[2]
if currency ~= '' and currency ~= ARGV[7] then return {'currency'} end
if meta[5] then
  local had
  had, position = parse(meta[5])
  quantity = quantity + had
else
  lines = lines + 1
  next = number(tonumber(next) + 1)
  if lines > tonumber(ARGV[8]) then return {'full'} end
end
if quantity > tonumber(ARGV[9]) then return {'many'} end
touch(KEYS[1], KEYS[2], ARGV[1], after(meta[1], ARGV[2]), ARGV[3], ARGV[4],
  ARGV[5], number(quantity) .. ':' .. position, 'next', next, 'lines', lines, 'currency', ARGV[7])
return {'ok', redis.call('HGETALL', KEYS[1])}

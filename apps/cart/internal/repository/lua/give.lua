-- Adds the lines that were taken out of a guest's cart to a user's, once. The latest lines are dropped if they do not fit.
-- Orders that have left the guest's cart have left the user's.
-- KEYS: user's cart, dirty, user's orders. ARGV: user, now, ttl, due, guest, the version of the guest's cart before and after
-- the lines were taken, currency, max lines, max quantity, max merges, max orders, n, order, score, … (n orders), variant,
-- quantity, … (in their order).
local user = redis.call('HMGET', KEYS[1], 'version', 'next', 'lines', 'currency', 'merged')
if not user[1] then return {'missing'} end
local merged = {ARGV[5] .. '@' .. ARGV[7]}
for merge in string.gmatch(user[5] or '', '[^,]+') do
  local guest, version = string.match(merge, '^(.+)@(%d+)$')
  -- A merge at a later version has given all lines that the guest's cart had before.
  if guest == ARGV[5] and tonumber(version) > tonumber(ARGV[6]) then return {'ok', redis.call('HGETALL', KEYS[1])} end
  if #merged < tonumber(ARGV[11]) then table.insert(merged, merge) end
end
local n, next, lines = tonumber(ARGV[13]), tonumber(user[2]), tonumber(user[3])
for i = 14 + 2 * n, #ARGV, 2 do
  local line = redis.call('HGET', KEYS[1], ARGV[i])
  if line then
    local had, position = parse(line)
    local quantity = math.min(had + tonumber(ARGV[i + 1]), tonumber(ARGV[10]))
    redis.call('HSET', KEYS[1], ARGV[i], number(quantity) .. ':' .. position)
  elseif lines < tonumber(ARGV[9]) then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1] .. ':' .. number(next))
    next, lines = next + 1, lines + 1
  end
end
local currency = user[4]
if currency == '' then currency = ARGV[8] end
for i = 14, 12 + 2 * n, 2 do redis.call('ZADD', KEYS[3], 'NX', ARGV[i + 1], ARGV[i]) end
if n > 0 then
  redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -1 - tonumber(ARGV[12]))
  redis.call('PEXPIRE', KEYS[3], ARGV[3])
end
touch(KEYS[1], KEYS[2], ARGV[1], math.max(after(user[1], ARGV[2]), tonumber(ARGV[7])), ARGV[3], ARGV[4],
  'next', number(next), 'lines', lines, 'currency', currency, 'merged', table.concat(merged, ','))
return {'ok', redis.call('HGETALL', KEYS[1])}

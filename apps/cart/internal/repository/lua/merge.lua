-- KEYS: user's cart, dirty, guest's cart, user's orders, guest's orders.
-- ARGV: user, now, ttl, due, guest, guest's ttl, max lines, max quantity, max merges, max orders.
-- The guest's latest lines are dropped if they do not fit. Orders that have left the guest's cart have left the user's.
-- Returns the user's cart, then the guest's.
local user = redis.call('HMGET', KEYS[1], 'version', 'next', 'lines', 'currency', 'merged')
local guest = redis.call('HMGET', KEYS[3], 'version', 'next', 'lines', 'currency')
if not user[1] or not guest[1] then return {'missing'} end
if guest[3] == '0' then return {'ok', redis.call('HGETALL', KEYS[1]), redis.call('HGETALL', KEYS[3])} end
local version = math.max(after(user[1], ARGV[2]), after(guest[1], ARGV[2]))
local flat, theirs = redis.call('HGETALL', KEYS[3]), {}
for i = 1, #flat, 2 do
  local quantity, position = parse(flat[i + 1])
  if quantity then table.insert(theirs, {flat[i], quantity, tonumber(position)}) end
end
table.sort(theirs, function(a, b) return a[3] < b[3] end)
local next, lines = tonumber(user[2]), tonumber(user[3])
for _, l in ipairs(theirs) do
  local line = redis.call('HGET', KEYS[1], l[1])
  if line then
    local had, position = parse(line)
    redis.call('HSET', KEYS[1], l[1], number(math.min(had + l[2], tonumber(ARGV[8]))) .. ':' .. position)
  elseif lines < tonumber(ARGV[7]) then
    redis.call('HSET', KEYS[1], l[1], number(l[2]) .. ':' .. number(next))
    next, lines = next + 1, lines + 1
  end
end
local currency = user[4]
if currency == '' then currency = guest[4] end
local merged = {ARGV[5] .. '@' .. number(version)}
for merge in string.gmatch(user[5] or '', '[^,]+') do
  if #merged < tonumber(ARGV[9]) then table.insert(merged, merge) end
end
redis.call('HSET', KEYS[1], 'next', number(next), 'lines', lines, 'currency', currency, 'merged', table.concat(merged, ','))
touch(KEYS[1], KEYS[2], ARGV[1], version, ARGV[3], ARGV[4])
local orders = redis.call('ZREVRANGE', KEYS[5], 0, -1, 'WITHSCORES')
for i = 1, #orders, 2 do redis.call('ZADD', KEYS[4], 'NX', orders[i + 1], orders[i]) end
if #orders > 0 then
  redis.call('ZREMRANGEBYRANK', KEYS[4], 0, -1 - tonumber(ARGV[10]))
  redis.call('PEXPIRE', KEYS[4], ARGV[3])
end
redis.call('DEL', KEYS[3])
redis.call('HSET', KEYS[3], 'next', guest[2], 'lines', 0, 'currency', '', 'into', ARGV[1] .. '@' .. number(version))
touch(KEYS[3], KEYS[2], ARGV[5], version, ARGV[6], ARGV[4])
return {'ok', redis.call('HGETALL', KEYS[1]), redis.call('HGETALL', KEYS[3])}

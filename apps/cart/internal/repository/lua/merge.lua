-- KEYS: user's cart, dirty, guest's cart. ARGV: user, now, ttl, due, guest, guest's ttl, max lines, max quantity.
-- The guest's latest lines are dropped if they do not fit. Returns the user's cart, then the guest's.
local user = redis.call('HMGET', KEYS[1], 'version', 'next', 'lines', 'currency')
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
redis.call('HSET', KEYS[1], 'next', number(next), 'lines', lines, 'currency', currency)
touch(KEYS[1], KEYS[2], ARGV[1], version, ARGV[3], ARGV[4])
redis.call('DEL', KEYS[3])
redis.call('HSET', KEYS[3], 'next', guest[2], 'lines', 0, 'currency', '')
touch(KEYS[3], KEYS[2], ARGV[5], version, ARGV[6], ARGV[4])
return {'ok', redis.call('HGETALL', KEYS[1]), redis.call('HGETALL', KEYS[3])}

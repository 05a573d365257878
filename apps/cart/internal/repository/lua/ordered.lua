-- KEYS: cart, dirty, orders. ARGV: owner, now, ttl, due, order, max orders, version that was ordered, then variant, quantity, …
-- If the cart was merged into a user's after it was ordered, it changes nothing and returns that user.
local variants, ordered = {}, {}
for i = 8, #ARGV, 2 do
  if not ordered[ARGV[i]] then variants[#variants + 1] = ARGV[i] end
  ordered[ARGV[i]] = (ordered[ARGV[i]] or 0) + tonumber(ARGV[i + 1])
end
local meta = redis.call('HMGET', KEYS[1], 'version', 'lines', 'into', unpack(variants))
if not meta[1] then return {'missing'} end
local into, merged_at = string.match(meta[3] or '', '^(.+)@(%d+)$')
if into and tonumber(merged_at) > tonumber(ARGV[7]) and not redis.call('ZSCORE', KEYS[3], ARGV[5]) then return {'merged', into} end
local version = after(meta[1], ARGV[2])
if redis.call('ZADD', KEYS[3], 'NX', number(version), ARGV[5]) == 0 then return {'ok', redis.call('HGETALL', KEYS[1])} end
redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -1 - tonumber(ARGV[6]))
redis.call('PEXPIRE', KEYS[3], ARGV[3])
local changed, gone = {}, {}
for i, variant in ipairs(variants) do
  local line = meta[3 + i]
  if line then
    local had, position = parse(line)
    local left = had - ordered[variant]
    if left > 0 then
      changed[#changed + 1], changed[#changed + 2] = variant, number(left) .. ':' .. position
    else
      gone[#gone + 1] = variant
    end
  end
end
local lines = tonumber(meta[2]) - #gone
changed[#changed + 1], changed[#changed + 2] = 'lines', lines
if lines == 0 then changed[#changed + 1], changed[#changed + 2] = 'currency', '' end
if #gone > 0 then redis.call('HDEL', KEYS[1], unpack(gone)) end
touch(KEYS[1], KEYS[2], ARGV[1], version, ARGV[3], ARGV[4], unpack(changed))
return {'ok', redis.call('HGETALL', KEYS[1])}

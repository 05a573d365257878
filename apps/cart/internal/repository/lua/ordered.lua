-- KEYS: cart, dirty, orders. ARGV: owner, now, ttl, due, order, orders at most, then variant, quantity, …
local meta = redis.call('HMGET', KEYS[1], 'version', 'lines')
if not meta[1] then return {'missing'} end
local version = after(meta[1], ARGV[2])
if redis.call('ZADD', KEYS[3], 'NX', number(version), ARGV[5]) == 0 then return {'ok', redis.call('HGETALL', KEYS[1])} end
redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -1 - tonumber(ARGV[6]))
redis.call('PEXPIRE', KEYS[3], ARGV[3])
local lines = tonumber(meta[2])
for i = 7, #ARGV, 2 do
  local line = redis.call('HGET', KEYS[1], ARGV[i])
  if line then
    local had, position = parse(line)
    local left = had - tonumber(ARGV[i + 1])
    if left > 0 then
      redis.call('HSET', KEYS[1], ARGV[i], number(left) .. ':' .. position)
    else
      redis.call('HDEL', KEYS[1], ARGV[i])
      lines = lines - 1
    end
  end
end
redis.call('HSET', KEYS[1], 'lines', lines)
if lines == 0 then redis.call('HSET', KEYS[1], 'currency', '') end
touch(KEYS[1], KEYS[2], ARGV[1], version, ARGV[3], ARGV[4])
return {'ok', redis.call('HGETALL', KEYS[1])}

-- KEYS: cart, dirty. ARGV: owner, now, ttl, due.
local meta = redis.call('HMGET', KEYS[1], 'version', 'next', 'lines', 'merged', 'into')
if not meta[1] then return {'missing'} end
if meta[3] ~= '0' then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'next', meta[2], 'lines', 0, 'currency', '', 'merged', meta[4] or '', 'into', meta[5] or '')
  touch(KEYS[1], KEYS[2], ARGV[1], after(meta[1], ARGV[2]), ARGV[3], ARGV[4])
end
return {'ok', redis.call('HGETALL', KEYS[1])}

-- Takes all lines out of a guest's cart. They are moving until they are in the user's cart. While lines are moving, it takes
-- nothing. Without a user it takes nothing either.
-- KEYS: guest's cart, dirty, moving, guest's orders. ARGV: guest, now, ttl, due, user.
-- Returns "moving" if lines were moving before and otherwise "ok", the guest's cart, the moving lines in the form of the cart
-- that they were in, with the "into" of the cart that they are taken out of, and the orders that have left the guest's cart,
-- each followed by its score.
local status, moving = 'moving', redis.call('HGETALL', KEYS[3])
if #moving == 0 then
  status = 'ok'
  local guest = redis.call('HMGET', KEYS[1], 'version', 'next', 'lines')
  if not guest[1] then return {'missing'} end
  if guest[3] ~= '0' and ARGV[5] ~= '' then
    local version = after(guest[1], ARGV[2])
    local into = ARGV[5] .. '@' .. number(version)
    redis.call('RENAME', KEYS[1], KEYS[3])
    redis.call('HSET', KEYS[3], 'into', into)
    redis.call('PEXPIRE', KEYS[3], ARGV[3])
    redis.call('HSET', KEYS[1], 'next', guest[2], 'lines', 0, 'currency', '', 'into', into)
    touch(KEYS[1], KEYS[2], ARGV[1], version, ARGV[3], ARGV[4])
    moving = redis.call('HGETALL', KEYS[3])
  end
end
return {status, redis.call('HGETALL', KEYS[1]), moving, redis.call('ZREVRANGE', KEYS[4], 0, -1, 'WITHSCORES')}

-- Claims dirty carts that are due. The claim is a lease until `until`: if the process dies, another one claims them then.
-- KEYS: dirty. ARGV: due (ms), until (ms), limit.
local owners = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
for _, owner in ipairs(owners) do redis.call('ZADD', KEYS[1], ARGV[2], owner) end
return owners

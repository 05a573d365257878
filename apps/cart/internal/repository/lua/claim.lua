-- Takes dirty carts that are due; whoever claims them and dies loses them to another at `until`.
-- KEYS: dirty. ARGV: due at (ms), until (ms), at most.
local owners = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
for _, owner in ipairs(owners) do redis.call('ZADD', KEYS[1], ARGV[2], owner) end
return owners

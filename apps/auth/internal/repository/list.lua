-- Adds a session to its user's set, which expired sessions leave. Returns the sessions that are too many, the first to end
-- first. They stay in the set until they are deleted. Returns nil, and adds nothing, if the user is suspended.
-- KEYS: user's sessions, user's suspension
-- ARGV: digest, absolute end, now, ms to the absolute end, largest number of sessions
local suspension = redis.call('GET', KEYS[2])
if suspension and string.sub(suspension, -2) == ' 1' then return false end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[3])
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[4]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
local excess = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[5])
if excess <= 0 then return {} end
return redis.call('ZRANGE', KEYS[1], 0, excess - 1)

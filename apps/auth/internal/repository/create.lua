-- Stores a session and adds it to its user's set. Expired sessions leave the set. While there are too many, the first to
-- end is deleted.
-- KEYS: session, user's sessions
-- ARGV: value, ms to live, digest, absolute end, now, ms to the absolute end, largest number of sessions, key prefix of sessions
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[5])
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[3])
while redis.call('ZCARD', KEYS[2]) > tonumber(ARGV[7]) do
  redis.call('DEL', ARGV[8] .. redis.call('ZPOPMIN', KEYS[2])[1])
end
if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[6]) then
  redis.call('PEXPIRE', KEYS[2], ARGV[6])
end
return 1

-- Ends all sessions of a user, and returns their digests.
-- KEYS: user's sessions; ARGV: key prefix of sessions
local digests = redis.call('ZRANGE', KEYS[1], 0, -1)
for _, d in ipairs(digests) do
  redis.call('DEL', ARGV[1] .. d)
end
redis.call('DEL', KEYS[1])
return digests

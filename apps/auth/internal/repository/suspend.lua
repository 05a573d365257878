-- Stores whether a user is suspended, unless that of a later revision is stored. Returns 1 if it is what holds now.
-- KEYS: user's suspension
-- ARGV: revision, 1 (suspended) or 0, ms for which "not suspended" is remembered
local known = redis.call('GET', KEYS[1])
if known and tonumber(string.match(known, '^%d+')) > tonumber(ARGV[1]) then return 0 end
local value = ARGV[1] .. ' ' .. ARGV[2]
if ARGV[2] == '1' then
  redis.call('SET', KEYS[1], value)
else
  redis.call('SET', KEYS[1], value, 'PX', ARGV[3])
end
return 1

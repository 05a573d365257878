-- Counts a failure, and returns how many ms the next attempt has to wait.
-- KEYS: failures
-- ARGV: now in ms, failures without a wait, longest wait in ms, ms after which failures are forgotten, digest of who fails
if redis.call('HGET', KEYS[1], 'who') ~= ARGV[5] then -- of another one, who had the same bucket
    redis.call('DEL', KEYS[1])
    redis.call('HSET', KEYS[1], 'who', ARGV[5])
end
local n = redis.call('HINCRBY', KEYS[1], 'n', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[4])
local over = n - tonumber(ARGV[2])
if over <= 0 then return 0 end
local wait = tonumber(ARGV[3])
if over < 20 then wait = math.min(wait, 1000 * 2 ^ (over - 1)) end
redis.call('HSET', KEYS[1], 'until', string.format('%.0f', tonumber(ARGV[1]) + wait))
return wait

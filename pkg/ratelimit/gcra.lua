-- KEYS[1]: the limited key; ARGV: microseconds per request, burst, number of requests.
-- The key's value is the time at which the whole burst is available again. Returns:
-- allowed (1 or 0), requests remaining, microseconds until a retry, microseconds until the whole burst is available.
local interval, burst, n = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local whole = math.max(tonumber(redis.call('GET', KEYS[1])) or now, now)
local limit = now + burst * interval
local later = whole + n * interval
if later > limit then
	local wait = math.ceil(later - limit)
	if n > burst then
		wait = math.ceil(burst * interval)
	end
	return {0, math.floor((limit - whole) / interval), wait, math.ceil(whole - now)}
end
if later > now then
	redis.call('SET', KEYS[1], string.format('%.3f', later), 'PX', math.ceil((later - now) / 1000) + 1)
end
return {1, math.floor((limit - later) / interval), 0, math.ceil(later - now)}

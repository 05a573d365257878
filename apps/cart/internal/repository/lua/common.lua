-- Before every script. A cart is a hash: "version", "next" (the position of the next new line), "lines" (how many),
-- "currency" ("" while it is empty), and for each variant "quantity:position".
local function number(n) return string.format('%.0f', n) end

local function parse(line)
  local quantity, position = string.match(line, '^(%d+):(%d+)$')
  return tonumber(quantity), position
end

-- The version after this one: the time in microseconds, and always more than before.
local function after(version, now)
  local v, n = tonumber(version) + 1, tonumber(now)
  if n > v then return n end
  return v
end

-- Keeps a change: its version and fields (name, value, …), how long the cart lives, and until when it is written back.
local function touch(cart, dirty, owner, version, ttl, due, ...)
  redis.call('HSET', cart, 'version', number(version), ...)
  redis.call('PEXPIRE', cart, ttl)
  redis.call('ZADD', dirty, 'NX', due, owner)
end

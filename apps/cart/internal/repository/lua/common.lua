-- Prepended to every script. A cart is a hash: "version", "next" (the position of the next new line), "lines" (their
-- number), "currency" ("" while it is empty), and for each variant "quantity:position". After a merge the user's cart has
-- "merged" (the guests, latest first, joined by commas) and the guest's has "into" (the user), each as "owner@version" with
-- the version of both carts right after the merge.
local function number(n) return string.format('%.0f', n) end

local function parse(line)
  local quantity, position = string.match(line, '^(%d+):(%d+)$')
  return tonumber(quantity), position
end

-- Returns the version after the given one: the time in microseconds, or version + 1 if that is more.
local function after(version, now)
  local v, n = tonumber(version) + 1, tonumber(now)
  if n > v then return n end
  return v
end

-- Stores a change: the version and fields (name, value, …), the cart's expiry, and when the write-back is due.
local function touch(cart, dirty, owner, version, ttl, due, ...)
  redis.call('HSET', cart, 'version', number(version), ...)
  redis.call('PEXPIRE', cart, ttl)
  redis.call('ZADD', dirty, 'NX', due, owner)
end

-- Marks carts that were written back as clean. A cart that has changed in the meantime is due again at `due`.
-- KEYS: dirty, cart, …. ARGV: due, then owner, version, …
for i = 2, #KEYS do
  local owner, version = ARGV[2 * i - 2], ARGV[2 * i - 1]
  local now = redis.call('HGET', KEYS[i], 'version')
  if not now or now == version then
    redis.call('ZREM', KEYS[1], owner)
  else
    redis.call('ZADD', KEYS[1], 'XX', ARGV[1], owner)
  end
end
return 0

-- Forgets the lines that were moving into the user's cart, now that they are in it. KEYS: moving. ARGV: their "into".
if redis.call('HGET', KEYS[1], 'into') == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 0

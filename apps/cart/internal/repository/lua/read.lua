-- A cart and its orders, latest first, as they are at one moment. KEYS: cart, orders.
return {redis.call('HGETALL', KEYS[1]), redis.call('ZREVRANGE', KEYS[2], 0, -1)}

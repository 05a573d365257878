select owner, kinds, quiet_from, quiet_to, time_zone from preference where owner = any($1)

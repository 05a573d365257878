insert into preference (owner, kinds, quiet_from, quiet_to, time_zone, updated_at) values ($1, $2, $3, $4, $5, $6)
on conflict (owner) do update
set kinds = excluded.kinds, quiet_from = excluded.quiet_from, quiet_to = excluded.quiet_to, time_zone = excluded.time_zone,
    updated_at = excluded.updated_at

insert into secret (purpose, key) values ($1, $2) on conflict do nothing

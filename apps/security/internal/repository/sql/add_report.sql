insert into report (id, at) values ($1, $2) on conflict do nothing

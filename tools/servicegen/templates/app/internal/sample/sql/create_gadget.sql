insert into gadgets (id, owner_id, name, description, version, created_at, updated_at)
values ($1, $2, $3, $4, $5, $6, $7)

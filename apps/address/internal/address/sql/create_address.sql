insert into address (id, owner_id, sealed, default_shipping, default_billing, created_at, updated_at)
values ($1, $2, $3, $4, $5, $6, $7)

with created as (
    insert into webhook (id, shop_id, url, events, status, disabled_reason, created_at, updated_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8)
    returning id, created_at
)
insert into webhook_secret (webhook_id, secret, created_at) select id, $9, created_at from created

-- name: SaveCarts :exec
-- Orders and merges are passed joined by commas, because PostgreSQL has no arrays of arrays of different lengths.
insert into cart (owner_id, version, currency, lines, orders, merged, merged_into, updated_at, expires_at)
select c.owner_id, c.version, c.currency, c.lines::jsonb, string_to_array(c.orders, ','), string_to_array(c.merged, ','), c.merged_into,
       c.updated_at, c.expires_at
from (select unnest(@owner_ids::text[]) as owner_id, unnest(@versions::bigint[]) as version, unnest(@currencies::text[]) as currency,
             unnest(@lines::text[]) as lines, unnest(@orders::text[]) as orders, unnest(@merged::text[]) as merged, unnest(@merged_intos::text[]) as merged_into,
             unnest(@updated_ats::timestamptz[]) as updated_at, unnest(@expires_ats::timestamptz[]) as expires_at) c
order by c.owner_id
on conflict (owner_id) do update
set version = excluded.version, currency = excluded.currency, lines = excluded.lines, orders = excluded.orders,
    merged = excluded.merged, merged_into = excluded.merged_into, updated_at = excluded.updated_at, expires_at = excluded.expires_at
where cart.version < excluded.version;

-- name: LoadCart :one
select version, currency, lines, orders, merged, merged_into, expires_at
from cart
where owner_id = @owner_id and expires_at > @now::timestamptz;

-- name: ForgetCarts :execrows
delete from cart
where owner_id in (select c.owner_id from cart c where c.expires_at <= @now::timestamptz limit 1000 for update skip locked);

-- name: Create :exec
-- Adds a shop and its owner. An empty owner adds no member.
with made as (
    insert into shop (id, handle, name, description, logo_url, city, region, country_code, status, version, created_at, updated_at)
    values (@id, @handle, @name, @description, @logo_url, @city, @region, @country_code, @status, 1, @at, @at)
    returning id
)
insert into member (shop_id, user_id, role, created_at)
select id, sqlc.arg(owner)::text, 'owner', @at::timestamptz from made where sqlc.arg(owner)::text <> '';

-- name: Get :one
select id, handle, name, description, logo_url, city, region, country_code, status, version, created_at, updated_at
from shop where id = @key::text or handle = @key::text;

-- name: GetForMember :one
-- A shop that a user is a member of, locked for a change.
select s.id, s.handle, s.name, s.description, s.logo_url, s.city, s.region, s.country_code, s.status, s.version, s.created_at, s.updated_at, m.role
from shop s join member m on m.shop_id = s.id
where (s.id = @key::text or s.handle = @key::text) and m.user_id = @user_id
for update of s;

-- name: Lock :one
select id, handle, name, description, logo_url, city, region, country_code, status, version, created_at, updated_at
from shop where id = @key::text or handle = @key::text
for update;

-- name: Update :exec
update shop
set name = @name, description = @description, logo_url = @logo_url, city = @city, region = @region,
    country_code = @country_code, status = @status, version = version + 1, updated_at = @at
where id = @id;

-- name: List :many
select id, handle, name, description, logo_url, city, region, country_code, status, version, created_at, updated_at
from shop
where status <> 'suspended' and (lower(name), id) > (@after_name::text, @after_id::text)
order by lower(name), id
limit @most;

-- name: Search :many
select id, handle, name, description, logo_url, city, region, country_code, status, version, created_at, updated_at
from shop
where status <> 'suspended' and to_tsvector('simple', name) @@ to_tsquery('simple', @words::text)
  and (lower(name), id) > (@after_name::text, @after_id::text)
order by lower(name), id
limit @most;

-- name: ListOfUser :many
select s.id, s.handle, s.name, s.description, s.logo_url, s.city, s.region, s.country_code, s.status, s.version, s.created_at, s.updated_at
from shop s join member m on m.shop_id = s.id
where m.user_id = @user_id
order by lower(s.name), s.id;

-- name: BatchGet :many
select id, handle, name, description, logo_url, city, region, country_code, status, version, created_at, updated_at
from shop where id = any (@ids::text[]) or handle = any (@handles::text[]);

-- name: Role :one
-- A user's role in a shop, given by ID or handle.
select m.role from member m join shop s on s.id = m.shop_id
where (s.id = @key::text or s.handle = @key::text) and m.user_id = @user_id;

-- name: Standing :one
-- A shop, given by ID or handle, and a user's role in it, which is empty if the user is not a member.
select s.id, coalesce(m.role, '')::text as role
from shop s left join member m on m.shop_id = s.id and m.user_id = @user_id
where s.id = @key::text or s.handle = @key::text;

-- name: Members :many
select shop_id, user_id, role, created_at from member where shop_id = @shop_id order by created_at, user_id;

-- name: PutMember :one
insert into member (shop_id, user_id, role, created_at)
values (@shop_id, @user_id, @role, @at)
on conflict (shop_id, user_id) do update set role = excluded.role
returning shop_id, user_id, role, created_at;

-- name: RemoveMember :execrows
delete from member where shop_id = @shop_id and user_id = @user_id;

-- name: OtherOwners :one
-- The number of a shop's owners other than one user. The caller has locked the shop's row.
select count(*) from member where shop_id = @shop_id and role = 'owner' and user_id <> @user_id;

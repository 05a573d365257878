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
select s.id, s.handle, s.name, s.description, s.logo_url, s.city, s.region, s.country_code, s.status, s.version, s.created_at, s.updated_at, m.role, m.permissions
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

-- name: ListAll :many
select id, handle, name, description, logo_url, city, region, country_code, status, version, created_at, updated_at
from shop where (created_at, id) < (@before::timestamptz, @before_id::text)
order by created_at desc, id desc
limit @most;

-- name: ListByStatus :many
select id, handle, name, description, logo_url, city, region, country_code, status, version, created_at, updated_at
from shop where status = @status and (created_at, id) < (@before::timestamptz, @before_id::text)
order by created_at desc, id desc
limit @most;

-- name: ListOfUser :many
select s.id, s.handle, s.name, s.description, s.logo_url, s.city, s.region, s.country_code, s.status, s.version, s.created_at, s.updated_at
from shop s join member m on m.shop_id = s.id
where m.user_id = @user_id and (lower(s.name), s.id) > (@after_name::text, @after_id::text)
order by lower(s.name), s.id
limit @most;

-- name: LockUser :exec
-- Two transactions that give the same user a shop run one after the other.
select pg_advisory_xact_lock(hashtextextended(@user_id::text, 1));

-- name: ShopsOfUser :one
select count(*) from member where user_id = @user_id;

-- name: BatchGet :many
select id, handle, name, description, logo_url, city, region, country_code, status, version, created_at, updated_at
from shop where id = any (@ids::text[]) or handle = any (@handles::text[]);

-- name: Role :one
-- A user's role in a shop, given by ID or handle.
select m.role from member m join shop s on s.id = m.shop_id
where (s.id = @key::text or s.handle = @key::text) and m.user_id = @user_id;

-- name: Standing :one
-- A shop, given by ID or handle, and a user's role in it, which is empty if the user is not a member.
select s.id, s.status, coalesce(m.role, '')::text as role, coalesce(m.permissions, '{}')::text[] as permissions
from shop s left join member m on m.shop_id = s.id and m.user_id = @user_id
where s.id = @key::text or s.handle = @key::text;

-- name: Members :many
select shop_id, user_id, role, created_at, permissions from member
where shop_id = @shop_id and (created_at, user_id) > (@after::timestamptz, @after_id::text)
order by created_at, user_id
limit @most;

-- name: Owners :many
select user_id from member where shop_id = @shop_id and role = 'owner' order by created_at, user_id limit @most;

-- name: SetRole :one
update member set role = @role, permissions = @permissions::text[] where shop_id = @shop_id and user_id = @user_id
returning shop_id, user_id, role, created_at, permissions;

-- name: Join :one
-- Makes a user a member. A member who is an owner stays one.
insert into member (shop_id, user_id, role, created_at, permissions)
values (@shop_id, @user_id, @role, @at, @permissions::text[])
on conflict (shop_id, user_id) do update set
    role = case when member.role = 'owner' then 'owner' else excluded.role end,
    permissions = case when member.role = 'owner' then member.permissions else excluded.permissions end
returning shop_id, user_id, role, created_at, permissions;

-- name: RemoveMember :execrows
delete from member where shop_id = @shop_id and user_id = @user_id;

-- name: OtherOwners :one
-- The number of a shop's owners other than one user. The caller has locked the shop's row.
select count(*) from member where shop_id = @shop_id and role = 'owner' and user_id <> @user_id;

-- name: CountPeople :one
-- A shop's members and open invitations, and the invitations that were sent since a time. The caller has locked the shop's row.
select (select count(*) from member m where m.shop_id = @shop_id)::int as members,
       (select count(*) from invitation i where i.shop_id = @shop_id and i.email <> '' and i.expires_at > @now)::int as open,
       (select count(*) from invitation i where i.shop_id = @shop_id and i.created_at > @since)::int as sent;

-- name: DropExpired :exec
-- Makes way for a new invitation to an address whose last one has expired.
delete from invitation where shop_id = @shop_id and email = @email and expires_at <= @now;

-- name: Invite :exec
insert into invitation (id, shop_id, email, sealed, role, permissions, created_at, expires_at)
values (@id, @shop_id, @email, @sealed, @role, @permissions::text[], @at, @expires_at);

-- name: InvitationsOfShop :many
select i.id, i.shop_id, s.name as shop_name, i.email, i.sealed, i.role, i.permissions, i.created_at, i.expires_at
from invitation i join shop s on s.id = i.shop_id
where i.shop_id = @shop_id and i.email <> '' and i.expires_at > @now and (i.created_at, i.id) < (@before::timestamptz, @before_id::text)
order by i.created_at desc, i.id desc
limit @most;

-- name: InvitationsTo :many
select i.id, i.shop_id, s.name as shop_name, i.email, i.sealed, i.role, i.permissions, i.created_at, i.expires_at
from invitation i join shop s on s.id = i.shop_id
where i.email = @email::text and i.email <> '' and i.expires_at > @now and s.status <> 'suspended'
  and (i.created_at, i.id) < (@before::timestamptz, @before_id::text)
order by i.created_at desc, i.id desc
limit @most;

-- name: OpenInvitation :one
select i.id, i.shop_id, s.name as shop_name, i.email, i.sealed, i.role, i.permissions, i.created_at, i.expires_at
from invitation i join shop s on s.id = i.shop_id
where i.id = @id and i.email <> '' and i.expires_at > @now and s.status <> 'suspended';

-- name: AcceptedInvitation :one
-- The membership of a user who has accepted an invitation.
select m.shop_id, m.user_id, m.role, m.created_at, m.permissions
from invitation i join member m on m.shop_id = i.shop_id and m.user_id = i.accepted_by
where i.id = @id and i.accepted_by = @user_id;

-- name: CloseInvitation :execrows
-- Ends an open invitation of a shop, and erases its address. It counts among those of its day.
update invitation set email = '', sealed = null, accepted_by = @accepted_by, expires_at = @delete_at
where id = @id and shop_id = @shop_id and email <> '';

-- name: DeleteInvitations :execrows
delete from invitation where id in (select i.id from invitation i where i.expires_at <= @now limit @most for update skip locked);

-- name: CountKeys :one
-- A shop's API keys. The caller has locked the shop's row.
select count(*) from api_key where shop_id = @shop_id;

-- name: CreateKey :exec
insert into api_key (id, shop_id, name, prefix, hash, scopes, addresses, rate_per_minute, created_by, created_at, expires_at)
values (@id, @shop_id, @name, @prefix, @hash, @scopes::text[], @addresses::text[], @rate_per_minute, @created_by, @at, sqlc.narg(expires_at));

-- name: KeysOfShop :many
select id, shop_id, name, prefix, hash, old_hash, old_until, scopes, addresses, rate_per_minute, created_by, created_at, expires_at, last_used_at
from api_key where shop_id = @shop_id and (created_at, id) < (@before::timestamptz, @before_id::text)
order by created_at desc, id desc
limit @most;

-- name: RotateKey :one
-- The right side sees the row as it was: its hash becomes the old one.
update api_key
set old_hash = case when sqlc.narg(old_until)::timestamptz is null then null else hash end, old_until = sqlc.narg(old_until),
    hash = @hash, prefix = @prefix, created_by = @created_by
where id = @id and shop_id = @shop_id
returning id, shop_id, name, prefix, hash, old_hash, old_until, scopes, addresses, rate_per_minute, created_by, created_at, expires_at, last_used_at;

-- name: DeleteKey :execrows
delete from api_key where id = @id and shop_id = @shop_id;

-- name: FindKey :one
-- The key of a secret that may be used now, with what its creator is to the shop.
select sqlc.embed(k), m.role, m.permissions
from api_key k join member m on m.shop_id = k.shop_id and m.user_id = k.created_by
where (k.hash = @hash or (k.old_hash = @hash and k.old_until > @now)) and (k.expires_at is null or k.expires_at > @now);

-- name: UseKeys :exec
-- Notes when keys were used, unless that is known to a minute.
update api_key k set last_used_at = u.at
from (select unnest(@ids::text[]) as id, unnest(@ats::timestamptz[]) as at) u
where k.id = u.id and (k.last_used_at is null or k.last_used_at < u.at - interval '1 minute');

-- name: PlainInvitations :many
-- Invitations whose address was written before souk encrypted it.
select id, email from invitation where email <> '' and sealed is null limit $1;

-- name: EncryptInvitation :exec
update invitation set email = @email, sealed = @sealed where id = @id and email <> '' and sealed is null;

-- name: DeleteInvitation :exec
delete from invitation where id = $1;

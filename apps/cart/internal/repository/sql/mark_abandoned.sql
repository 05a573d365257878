-- Marks the versions of carts as abandoned, each once. A locked cart is being changed, or marked by another process.
-- $1 owners, $2 versions
update cart c set abandoned = c.version
from (
    select k.owner_id
    from unnest($1::text[], $2::bigint[]) as a (owner_id, version)
    join cart k on k.owner_id = a.owner_id and k.version = a.version and k.abandoned < a.version
    order by k.owner_id
    for update of k skip locked
) locked
where c.owner_id = locked.owner_id
returning c.owner_id as id, c.version

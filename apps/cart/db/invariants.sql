-- One row per check: its name, rows checked, wrong rows, an example.
select 'no cart was abandoned in a version that it never had', count(*), count(*) filter (where abandoned > version),
       coalesce(min(owner_id) filter (where abandoned > version), '')
from cart
union all
select 'no version of a cart was published as abandoned twice', count(*), count(*) filter (where n > 1),
       coalesce(min(aggregate_id) filter (where n > 1), '')
from (
    select aggregate_id, count(*) as n from outbox where subject = 'evt.cart.abandoned' group by aggregate_id, aggregate_version
) e;

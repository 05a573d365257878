-- One row per check: its name, rows checked, wrong rows, an example.
select 'address books count their addresses, and have a default each', count(*), count(*) filter (where wrong),
       coalesce(min(owner_id) filter (where wrong), '')
from (
    select b.owner_id, b.addresses <> coalesce(a.n, 0) or a.n > 0 and (a.shipping <> 1 or a.billing <> 1) as wrong
    from address_book b left join (
        select owner_id, count(*) as n, count(*) filter (where default_shipping) as shipping,
               count(*) filter (where default_billing) as billing
        from address group by owner_id
    ) a on a.owner_id = b.owner_id
) c;

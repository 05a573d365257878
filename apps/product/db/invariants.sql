-- One row per check: its name, rows checked, wrong rows, an example.
select 'listings show the ratings of their products', count(*), count(*) filter (where wrong),
       coalesce(min(product_id) filter (where wrong), '')
from (
    select l.product_id, (l.rating_avg, l.rating_count) <> (coalesce(r.average, 0), coalesce(r.count, 0)) as wrong
    from listing l left join rating r on r.product_id = l.product_id
) c;

-- Variants with more pieces reserved than on hand, or with a negative number of either. $1: how many IDs to show.
select count(*), count(*) filter (where wrong), coalesce((array_agg(variant_id order by variant_id) filter (where wrong))[:$1], '{}')
from (select variant_id, on_hand < 0 or reserved < 0 or reserved > on_hand as wrong from stock) s

-- name: Open
-- How many payments have an open outcome at the provider, how many refunds have, and the age in seconds of the oldest.
select count(*) filter (where not refund), count(*) filter (where refund),
    coalesce(extract(epoch from $1::timestamptz - min(created_at)), 0)::float8
from (
    select false, created_at from payment where asked_at is not null and status in ('pending', 'authorized') and provider <> ''
    union all
    select true, created_at from refund where state = 'requested'
) as open (refund, created_at)

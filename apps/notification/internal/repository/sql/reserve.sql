-- Counts a delivery to a recipient, unless too many others were sent in the last hour, or the mailbox is suppressed.
-- $1 delivery, $2 recipient, $3 time, $4 the most deliveries, $5 mailbox
with suppressed as (
    select from suppression s where s.mailbox = $5::bytea and s.expires_at > $3::timestamptz
),
counted as (
    insert into recipient_mail (delivery_id, recipient, at)
    select $1::text, $2::bytea, $3::timestamptz
    where not exists (select from suppressed)
      and (select count(*) from recipient_mail r
           where r.recipient = $2::bytea and r.at > $3::timestamptz - interval '1 hour' and r.delivery_id <> $1::text) < $4::bigint
    on conflict (delivery_id) do update set recipient = excluded.recipient, at = excluded.at
    returning delivery_id
)
select exists (select from counted), exists (select from suppressed)

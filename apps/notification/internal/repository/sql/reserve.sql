-- Counts a delivery to a recipient, unless too many others were sent in the last hour.
-- $1 delivery, $2 recipient, $3 time, $4 the most deliveries
insert into recipient_mail (delivery_id, recipient, at)
select $1::text, $2::bytea, $3::timestamptz
where (select count(*) from recipient_mail r
       where r.recipient = $2::bytea and r.at > $3::timestamptz - interval '1 hour' and r.delivery_id <> $1::text) < $4::bigint
on conflict (delivery_id) do update set recipient = excluded.recipient, at = excluded.at

create index payment_open on payment (updated_at) where status in ('pending', 'authorized') and provider <> '';
drop index payment_asked;
alter table payment drop column asked_at;

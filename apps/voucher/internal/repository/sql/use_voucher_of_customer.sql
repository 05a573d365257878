-- Counts a use of a voucher by a customer, within the limit $3; 0 means none.
insert into voucher_customer as c (voucher_id, customer, uses) values ($1, $2, 1)
on conflict (voucher_id, customer) do update set uses = c.uses + 1 where $3::bigint = 0 or c.uses < $3

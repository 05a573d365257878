-- $1 owner, $2 whether for shipping, $3 whether for billing
update address
set default_shipping = default_shipping or $2, default_billing = default_billing or $3
where id = (select min(id) from address where owner_id = $1)

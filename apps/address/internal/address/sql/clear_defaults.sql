-- $1 owner, $2 whether for shipping, $3 whether for billing
update address
set default_shipping = default_shipping and not $2, default_billing = default_billing and not $3
where owner_id = $1 and (default_shipping and $2 or default_billing and $3)

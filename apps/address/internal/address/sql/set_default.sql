-- $1 address, $2 owner, $3 whether for shipping, $4 whether for billing, $5 time
update address
set default_shipping = default_shipping or $3, default_billing = default_billing or $4, updated_at = $5
where id = $1 and owner_id = $2
returning id, owner_id, label, name, line1, line2, city, region, postal_code, country_code, phone, default_shipping, default_billing,
    created_at, updated_at

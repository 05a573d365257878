-- $1 address, $2 owner, $3 whether for shipping, $4 whether for billing, $5 time
update address
set default_shipping = default_shipping or $3, default_billing = default_billing or $4, updated_at = $5
where id = $1 and owner_id = $2
returning id, owner_id, sealed,
    case when sealed is null then json_build_object('label', label, 'name', name, 'line1', line1, 'line2', line2, 'city', city,
        'region', region, 'postal_code', postal_code, 'country_code', country_code, 'phone', phone)::text end,
    default_shipping, default_billing, created_at, updated_at

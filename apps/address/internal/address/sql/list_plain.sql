select id, owner_id, sealed,
    case when sealed is null then json_build_object('label', label, 'name', name, 'line1', line1, 'line2', line2, 'city', city,
        'region', region, 'postal_code', postal_code, 'country_code', country_code, 'phone', phone)::text end,
    default_shipping, default_billing, created_at, updated_at
from address
where sealed is null
limit $1

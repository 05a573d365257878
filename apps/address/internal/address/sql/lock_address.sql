select id, owner_id, label, name, line1, line2, city, region, postal_code, country_code, phone, default_shipping, default_billing,
    created_at, updated_at
from address
where id = $1 and owner_id = $2
for update

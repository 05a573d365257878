insert into address (id, owner_id, label, name, line1, line2, city, region, postal_code, country_code, phone, default_shipping,
    default_billing, created_at, updated_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)

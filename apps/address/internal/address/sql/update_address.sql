update address
set label = $3, name = $4, line1 = $5, line2 = $6, city = $7, region = $8, postal_code = $9, country_code = $10, phone = $11,
    updated_at = $12
where id = $1 and owner_id = $2

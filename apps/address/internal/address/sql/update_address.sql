update address
set sealed = $3, updated_at = $4, label = '', name = '', line1 = '', line2 = '', city = '', region = '', postal_code = '', country_code = '',
    phone = ''
where id = $1 and owner_id = $2

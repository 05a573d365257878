update address
set sealed = $2, label = '', name = '', line1 = '', line2 = '', city = '', region = '', postal_code = '', country_code = '',
    phone = ''
where id = $1 and sealed is null and updated_at = $3

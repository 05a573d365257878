select from address_book where owner_id = $1 for update

with book as (
    update address_book set addresses = addresses - 1
    where owner_id = $2 and exists (select from address where id = $1 and owner_id = $2)
)
delete from address where id = $1 and owner_id = $2
returning default_shipping, default_billing

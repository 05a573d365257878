-- The pivot of the saga that undoes a lost order: there is no order with the ID.
select souk_saga_require(not exists (select from orders where id = $1), 'conflict', 'there is such an order')

-- A checkout that is refused before there is an order leaves a row without parts, a total of 0, and no personal data: its
-- idempotency key has its answer.
alter table orders drop constraint orders_total;
alter table orders add constraint orders_total check (subtotal >= 0 and discount >= 0 and shipping >= 0 and tax >= 0
    and total = subtotal - discount + shipping + tax and (total > 0 or status = 'cancelled')) not valid;
alter table orders validate constraint orders_total;

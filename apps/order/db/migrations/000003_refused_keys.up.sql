-- A checkout that is refused before an order is written leaves a row without shop orders, with a total of 0 and without
-- personal data. The row holds the answer for its idempotency key.
alter table orders drop constraint orders_total;
alter table orders add constraint orders_total check (subtotal >= 0 and discount >= 0 and shipping >= 0 and tax >= 0
    and total = subtotal - discount + shipping + tax and (total > 0 or status = 'cancelled')) not valid;
alter table orders validate constraint orders_total;

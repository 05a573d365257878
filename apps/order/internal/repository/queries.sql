-- Orders are read with their shop orders and lines, one row per line. Aggregating them as JSON takes PostgreSQL three times as long.

-- name: ByIDs :many
select sqlc.embed(o), sqlc.embed(s), sqlc.embed(i)
from orders o join shop_order s on s.order_id = o.id join order_item i on i.order_id = o.id and i.shop_order_id = s.id
where o.id = any ((select @ids::text[])::text[])
order by o.id, s.position, i.position;

-- name: Owned :many
select sqlc.embed(o), sqlc.embed(s), sqlc.embed(i)
from orders o join shop_order s on s.order_id = o.id join order_item i on i.order_id = o.id and i.shop_order_id = s.id
where o.id = $1 and o.customer_id = $2
order by s.position, i.position;

-- name: History :many
-- A customer's orders, newest first, without refused checkouts.
select sqlc.embed(o), sqlc.embed(s), sqlc.embed(i)
from orders o join shop_order s on s.order_id = o.id join order_item i on i.order_id = o.id and i.shop_order_id = s.id
where o.id in (
    select p.id from orders p
    where p.customer_id = @customer_id and (p.placed_at, p.id) < (@before::timestamptz, @before_id::text)
      and (p.confirmed_at is not null or p.status = 'pending')
    order by p.placed_at desc, p.id desc limit @page)
order by o.placed_at desc, o.id desc, s.position, i.position;

-- name: ShopHistory :many
-- A shop's shop orders, newest first: those with the status, or all that were ever confirmed if it is ''.
select sqlc.embed(o), sqlc.embed(s), sqlc.embed(i)
from shop_order s join orders o on o.id = s.order_id join order_item i on i.order_id = s.order_id and i.shop_order_id = s.id
where s.id in (
    select p.id from shop_order p
    where p.shop_id = @shop_id and (p.placed_at, p.id) < (@before::timestamptz, @before_id::text)
      and (p.confirmed_at is not null or p.status = 'pending' and @status::text = 'pending')
      and (@status::text = '' or p.status = @status::text)
    order by p.placed_at desc, p.id desc limit @page)
order by s.placed_at desc, s.id desc, i.position;

-- name: HasOrder :one
select exists (select from orders where customer_id = $1 and confirmed_at is not null and status <> 'cancelled');

-- name: CustomersOrders :many
select id from orders where customer_id = $1 order by placed_at desc, id desc limit $2;

-- name: FindPurchase :one
-- The shop from which a customer has bought a product; '' if the customer has not, or all of it was cancelled.
select coalesce((
    select s.shop_id
    from orders o join order_item i on i.order_id = o.id join shop_order s on s.id = i.shop_order_id
    where o.customer_id = @customer_id and o.confirmed_at is not null and i.product_id = @product_id and s.status <> 'cancelled'
    limit 1), '')::text as shop_id;

-- name: Adopt :exec
-- The guest's ID is appended to the guest's keys, because the user may have used the same keys. A retry of such a checkout
-- still comes from the guest.
update orders set customer_id = @user_id, idem_key = idem_key || '@' || customer_id
where id in (
    select o.id from orders o where o.id = any ((select @ids::text[])::text[]) and o.customer_id = @guest_id
    order by o.id for update);

-- name: ByKeys :many
-- The checkouts of customers' idempotency keys.
with input as (select unnest(@customer_ids::text[]) as customer_id, unnest(@idem_keys::text[]) as idem_key)
select o.id, o.customer_id, o.idem_key, o.request_hash, o.status, (o.status = 'cancelled' and o.confirmed_at is null)::bool as refused,
    o.cancel_code, o.cancel_reason, o.cancel_fields
from input i join orders o on o.customer_id = i.customer_id and o.idem_key = i.idem_key;

-- name: KeepRefusal :execrows
-- Stores a refusal for a key without an order. The ID is stored as the number, which is never shown.
insert into orders (id, number, customer_id, idem_key, request_hash, status, currency, subtotal, discount, shipping, tax, total,
    payment_method, cancel_code, cancel_reason, cancel_fields, placed_at, updated_at)
values (@id, @id, @customer_id, @idem_key, @request_hash, 'cancelled', '', 0, 0, 0, 0, 0,
    @payment_method, @cancel_code, @cancel_reason, @cancel_fields, @at, @at)
on conflict (customer_id, idem_key) do nothing;

-- name: Lock :one
select id from orders where id = $1 for update;

-- name: PartOwner :one
select order_id, shop_id from shop_order where id = $1;

-- name: SaveOrder :exec
update orders set status = @status, cancel_id = @cancel_id, cancel_code = @cancel_code, cancel_reason = @cancel_reason,
    payment_status = @payment_status, payment_version = @payment_version,
    customer_cancelled_at = @customer_cancelled_at, expires_at = @expires_at, version = @version, updated_at = @updated_at
where id = @id;

-- name: SavePart :exec
update shop_order set status = @status, carrier = @carrier, tracking_number = @tracking_number,
    shipped_at = @shipped_at, delivered_at = @delivered_at,
    cancel_id = @cancel_id, cancel_code = @cancel_code, cancel_reason = @cancel_reason, cancelled_at = @cancelled_at
where id = @id;

-- name: Standings :many
-- What customers keep without having paid for it, and how often they cancelled. Orders placed before @since don't count.
-- Cancellations of guests count by their mailbox, too; that of a user is empty.
select c.customer_id::text as customer_id, c.mailbox::bytea as mailbox,
    count(o.id) filter (where o.payment_method = 'cod' and o.status in ('pending', 'confirmed', 'shipped')) as unpaid,
    greatest(count(o.id) filter (where o.customer_cancelled_at > @cancelled_since::timestamptz), g.cancelled)::bigint as cancelled,
    -- Go's zero time: never
    greatest(max(o.customer_cancelled_at), g.last_cancelled, '0001-01-01 00:00:00Z')::timestamptz as last_cancelled
from (
    select distinct unnest((select @customer_ids::text[])::text[]) as customer_id, unnest((select @mailboxes::bytea[])::bytea[]) as mailbox
) c
cross join lateral (
    select count(*) as cancelled, max(x.cancelled_at) as last_cancelled from guest_cancel x
    where x.mailbox = c.mailbox and x.cancelled_at > @cancelled_since::timestamptz
) g
left join orders o on o.customer_id = c.customer_id and o.placed_at > @since::timestamptz
group by c.customer_id, c.mailbox, g.cancelled, g.last_cancelled;

-- name: KeepGuestCancel :exec
insert into guest_cancel (mailbox, order_id, cancelled_at) values (@mailbox, @order_id, @cancelled_at)
on conflict (mailbox, order_id) do update set cancelled_at = excluded.cancelled_at;

-- name: ForgetGuestCancels :execrows
delete from guest_cancel
where (mailbox, order_id) in (
    select g.mailbox, g.order_id from guest_cancel g
    where g.cancelled_at < @before::timestamptz order by g.cancelled_at limit @most for update skip locked);

-- name: Expired :many
-- Orders that waited too long for their money, the longest waiting first, without those that are being cancelled already.
select o.id from orders o
where o.expires_at <= @now::timestamptz and o.status = 'confirmed' and o.cancel_id = ''
  and exists (select from shop_order s where s.order_id = o.id and s.status = 'confirmed' and s.cancel_id = '')
order by o.expires_at limit @most;

-- name: Refuse :one
-- Cancels the order of a refused checkout. A fault of ours frees its idempotency key.
update orders set status = 'cancelled', cancel_code = @cancel_code, cancel_reason = @cancel_reason, cancel_fields = @cancel_fields,
    payment_status = case when payment_status <> 'pending' then payment_status when @cancel_code = 'payment_declined' then 'failed' else 'voided' end,
    idem_key = case when @free_key::boolean then idem_key || '#' || id else idem_key end, expires_at = null,
    version = version + 1, updated_at = @at
where id = @id and status = 'pending'
returning version, customer_id;

-- name: RefuseParts :exec
update shop_order set status = 'cancelled' where order_id = $1 and status = 'pending';

-- name: TrimRefused :exec
-- Deletes a customer's refused checkouts and their sagas, except the newest ones. It runs at each refusal, so it need not look further back than
-- at some hundred orders.
with old as (
    select o.id from (
        select p.id, p.placed_at, p.status, p.confirmed_at from orders p
        where p.customer_id = @customer_id order by p.placed_at desc, p.id desc limit 200
    ) o
    where o.status = 'cancelled' and o.confirmed_at is null
    order by o.placed_at desc, o.id desc offset @keep
), gone as (
    delete from orders where id in (select g.id from orders g join old on old.id = g.id for update of g skip locked)
    returning id
), sagas as (
    delete from saga where id in (select gone.id from gone) and ended_at is not null returning id
), stories as (
    delete from saga_story where saga_id in (select sagas.id from sagas)
), steps as (
    delete from saga_step where saga_id in (select sagas.id from sagas)
), parts as (
    delete from shop_order where order_id in (select gone.id from gone)
)
delete from order_item where order_id in (select gone.id from gone);

-- name: ReleaseCarts :exec
-- Gives the claims of a refused order back to the orders before it. Claims are locked in the order of their owners, as new
-- orders lock them, so that the two cannot deadlock.
with held as (
    select k.owner_id from cart_claim k where k.owner_id = any (@owner_ids::text[]) and k.order_id = @order_id
    order by k.owner_id for update
)
update cart_claim c set order_id = c.previous_id from held where c.owner_id = held.owner_id;

-- name: ClaimHolders :many
-- The orders that hold the claims of a cart.
select distinct o.id, o.cart_owner_id, o.cart_version, (o.confirmed_at is not null)::bool as confirmed
from cart_claim c join orders o on o.id = c.order_id
where c.owner_id = any (@owner_ids::text[]);

-- name: ForgetRefused :one
-- Deletes refused checkouts with IDs in a range, and returns their number.
with gone as (
    delete from orders
    where id in (
        select o.id from orders o
        where o.id >= @first::text and o.id < @before::text and o.status = 'cancelled' and o.confirmed_at is null
        order by o.id limit @most for update skip locked)
    returning id
), parts as (
    delete from shop_order where order_id in (select gone.id from gone)
), items as (
    delete from order_item where order_id in (select gone.id from gone)
)
select count(*) from gone;

-- name: SagaState :one
select state from saga where id = $1;

-- name: ShopSales :many
select day, currency, orders, pieces, goods, discounts, shipping, tax, cancelled_orders, cancelled_total
from sales_day where shop_id = @shop_id and day between sqlc.arg(from_day) and sqlc.arg(to_day)
order by day, currency;

-- name: ForgetSales :exec
with counted as (delete from sale_counted)
delete from sales_day;

-- name: ConfirmedOrders :many
-- Orders that were ever confirmed, by ID.
select id from orders where id > @after and confirmed_at is not null order by id limit @page;

-- name: PlainOrders :many
-- Orders whose address was written before souk encrypted it.
select id, customer_id, email, shipping_address from orders where shipping_address <> '{}' limit $1;

-- name: EncryptOrder :exec
update orders set private = @private, email = '', shipping_address = '{}' where id = @id and private is null;

-- name: Unshipped :one
-- Whether a customer has confirmed orders of which something is to be shipped, and whether users have adopted orders of the customer.
select exists (
    select from orders o join shop_order s on s.order_id = o.id
    where o.customer_id = @customer_id and s.status in ('pending', 'confirmed')) as unshipped,
    exists (select from orders o where o.cart_owner_id = @customer_id and o.customer_id <> o.cart_owner_id) as adopted;

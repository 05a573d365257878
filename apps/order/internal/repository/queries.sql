-- name: ByIDs :many
select o.id, o.number, o.customer_id, o.idem_key, o.request_hash, o.status, o.currency,
    o.subtotal, o.discount, o.shipping, o.tax, o.total,
    o.payment_id, o.payment_status, o.payment_method, o.email, o.shipping_address,
    o.cancel_id, o.cancel_code, o.cancel_reason, o.cancel_fields, o.version, o.placed_at, o.confirmed_at, o.updated_at,
    (select json_agg(json_build_object(
        'id', s.id, 'shop_id', s.shop_id, 'shop_name', s.shop_name, 'status', s.status,
        'subtotal', s.subtotal, 'discount', s.discount, 'shipping', s.shipping, 'tax', s.tax, 'total', s.total,
        'carrier', s.carrier, 'tracking_number', s.tracking_number,
        'placed_at', s.placed_at, 'shipped_at', s.shipped_at, 'delivered_at', s.delivered_at,
        'items', (select json_agg(json_build_object(
            'variant_id', i.variant_id, 'product_id', i.product_id, 'title', i.title, 'sku', i.sku, 'options', i.options,
            'quantity', i.quantity, 'unit_price', i.unit_price, 'line_total', i.line_total) order by i.position)
            from order_item i where i.order_id = s.order_id and i.shop_order_id = s.id)) order by s.position)
    from shop_order s where s.order_id = o.id)::json as parts
from orders o where o.id = any ((select @ids::text[])::text[]);

-- name: Owned :one
select o.id, o.number, o.customer_id, o.idem_key, o.request_hash, o.status, o.currency,
    o.subtotal, o.discount, o.shipping, o.tax, o.total,
    o.payment_id, o.payment_status, o.payment_method, o.email, o.shipping_address,
    o.cancel_id, o.cancel_code, o.cancel_reason, o.cancel_fields, o.version, o.placed_at, o.confirmed_at, o.updated_at,
    (select json_agg(json_build_object(
        'id', s.id, 'shop_id', s.shop_id, 'shop_name', s.shop_name, 'status', s.status,
        'subtotal', s.subtotal, 'discount', s.discount, 'shipping', s.shipping, 'tax', s.tax, 'total', s.total,
        'carrier', s.carrier, 'tracking_number', s.tracking_number,
        'placed_at', s.placed_at, 'shipped_at', s.shipped_at, 'delivered_at', s.delivered_at,
        'items', (select json_agg(json_build_object(
            'variant_id', i.variant_id, 'product_id', i.product_id, 'title', i.title, 'sku', i.sku, 'options', i.options,
            'quantity', i.quantity, 'unit_price', i.unit_price, 'line_total', i.line_total) order by i.position)
            from order_item i where i.order_id = s.order_id and i.shop_order_id = s.id)) order by s.position)
    from shop_order s where s.order_id = o.id)::json as parts
from orders o where o.id = $1 and o.customer_id = $2;

-- name: History :many
-- A customer's orders, newest first, without checkouts that were refused.
select o.id, o.number, o.customer_id, o.idem_key, o.request_hash, o.status, o.currency,
    o.subtotal, o.discount, o.shipping, o.tax, o.total,
    o.payment_id, o.payment_status, o.payment_method, o.email, o.shipping_address,
    o.cancel_id, o.cancel_code, o.cancel_reason, o.cancel_fields, o.version, o.placed_at, o.confirmed_at, o.updated_at,
    (select json_agg(json_build_object(
        'id', s.id, 'shop_id', s.shop_id, 'shop_name', s.shop_name, 'status', s.status,
        'subtotal', s.subtotal, 'discount', s.discount, 'shipping', s.shipping, 'tax', s.tax, 'total', s.total,
        'carrier', s.carrier, 'tracking_number', s.tracking_number,
        'placed_at', s.placed_at, 'shipped_at', s.shipped_at, 'delivered_at', s.delivered_at,
        'items', (select json_agg(json_build_object(
            'variant_id', i.variant_id, 'product_id', i.product_id, 'title', i.title, 'sku', i.sku, 'options', i.options,
            'quantity', i.quantity, 'unit_price', i.unit_price, 'line_total', i.line_total) order by i.position)
            from order_item i where i.order_id = s.order_id and i.shop_order_id = s.id)) order by s.position)
    from shop_order s where s.order_id = o.id)::json as parts
from orders o
where o.customer_id = @customer_id and (o.placed_at, o.id) < (@before::timestamptz, @before_id::text)
  and (o.confirmed_at is not null or o.status = 'pending')
order by o.placed_at desc, o.id desc limit @page;

-- name: ShopHistory :many
-- A shop's parts of orders, newest first. Without a status: of orders that were confirmed.
select o.currency, o.shipping_address, s.order_id, s.placed_at,
    json_build_object(
        'id', s.id, 'shop_id', s.shop_id, 'shop_name', s.shop_name, 'status', s.status,
        'subtotal', s.subtotal, 'discount', s.discount, 'shipping', s.shipping, 'tax', s.tax, 'total', s.total,
        'carrier', s.carrier, 'tracking_number', s.tracking_number,
        'placed_at', s.placed_at, 'shipped_at', s.shipped_at, 'delivered_at', s.delivered_at,
        'items', (select json_agg(json_build_object(
            'variant_id', i.variant_id, 'product_id', i.product_id, 'title', i.title, 'sku', i.sku, 'options', i.options,
            'quantity', i.quantity, 'unit_price', i.unit_price, 'line_total', i.line_total) order by i.position)
            from order_item i where i.order_id = s.order_id and i.shop_order_id = s.id))::json as part
from shop_order s join orders o on o.id = s.order_id
where s.shop_id = @shop_id and (s.placed_at, s.id) < (@before::timestamptz, @before_id::text)
  and (s.confirmed_at is not null or s.status = 'pending' and @status::text = 'pending')
  and (@status::text = '' or s.status = @status::text)
order by s.placed_at desc, s.id desc limit @page;

-- name: ByKeys :many
-- What there is for customers' idempotency keys.
with input as (select unnest(@customer_ids::text[]) as customer_id, unnest(@idem_keys::text[]) as idem_key)
select o.id, o.customer_id, o.idem_key, o.request_hash, o.status
from input i join orders o on o.customer_id = i.customer_id and o.idem_key = i.idem_key;

-- name: Lock :one
select id from orders where id = $1 for update;

-- name: PartOwner :one
select order_id, shop_id from shop_order where id = $1;

-- name: SaveOrder :exec
update orders set status = @status, cancel_id = @cancel_id, cancel_code = @cancel_code, cancel_reason = @cancel_reason,
    version = @version, updated_at = @updated_at
where id = @id;

-- name: SavePart :exec
update shop_order set status = @status, carrier = @carrier, tracking_number = @tracking_number,
    shipped_at = @shipped_at, delivered_at = @delivered_at
where id = @id;

-- name: Refuse :one
-- Ends a checkout that was refused. What was a fault of ours frees its idempotency key.
update orders set status = 'cancelled', cancel_code = @cancel_code, cancel_reason = @cancel_reason, cancel_fields = @cancel_fields,
    payment_status = case when payment_status <> 'pending' then payment_status when @cancel_code = 'payment_declined' then 'failed' else 'voided' end,
    idem_key = case when @free_key::boolean then idem_key || '#' || id else idem_key end,
    version = version + 1, updated_at = @at
where id = @id and status = 'pending'
returning version;

-- name: RefuseParts :exec
update shop_order set status = 'cancelled' where order_id = $1 and status = 'pending';

-- name: ForgetRefused :execrows
-- Erases whose checkouts were refused, of orders with IDs in a range.
update orders set email = '', shipping_address = '{}'
where id in (
    select o.id from orders o
    where o.id >= @first::text and o.id < @before::text and o.status = 'cancelled' and o.confirmed_at is null
      and (o.email <> '' or o.shipping_address <> '{}')
    order by o.id limit @most for update skip locked);

-- name: SagaState :one
select state from saga where id = $1;

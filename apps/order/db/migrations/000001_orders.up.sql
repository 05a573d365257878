-- Orders, shop orders and lines are written in one transaction, one statement per table, and confirmed ones are never
-- deleted. There are therefore no foreign keys between them: checking the keys would cost more than writing the rows.
create table orders (
    id               text        not null,
    -- shown to people; random, so that it does not reveal how many orders there are
    number           text        not null,
    customer_id      text        not null,
    -- "key#id" once a checkout failed through a fault of ours, which frees the key
    idem_key         text        not null,
    request_hash     bytea       not null,
    status           text        not null,
    currency         text        not null,
    -- minor units of the currency
    subtotal         bigint      not null,
    discount         bigint      not null,
    shipping         bigint      not null,
    tax              bigint      not null,
    total            bigint      not null,
    payment_id       text        not null default '',
    payment_status   text        not null default 'pending',
    payment_method   text        not null,
    -- the payment's version that payment_status comes from
    payment_version  bigint      not null default 0,
    email            text        not null,
    shipping_address jsonb       not null,
    -- the saga that cancels the order; '' if it is not being cancelled
    cancel_id        text        not null default '',
    -- why it was cancelled: the error code of a refused checkout, or 'customer'
    cancel_code      text        not null default '',
    cancel_reason    text        not null default '',
    version          bigint      not null default 1,
    placed_at        timestamptz not null,
    -- null if never confirmed
    confirmed_at     timestamptz,
    updated_at       timestamptz not null,
    constraint orders_pkey primary key (id),
    constraint orders_number unique (number),
    constraint orders_customer_key unique (customer_id, idem_key),
    constraint orders_status check (status in ('pending', 'confirmed', 'shipped', 'delivered', 'cancelled', 'refunded')),
    constraint orders_total check (subtotal >= 0 and discount >= 0 and shipping >= 0 and tax >= 0
        and total = subtotal - discount + shipping + tax and total > 0)
) with (fillfactor = 75);
create index orders_history on orders (customer_id, placed_at desc, id desc);

create table shop_order (
    id              text        not null,
    order_id        text        not null,
    -- index among the order's shop orders, from 0
    position        integer     not null,
    shop_id         text        not null,
    shop_name       text        not null,
    status          text        not null,
    subtotal        bigint      not null,
    discount        bigint      not null,
    shipping        bigint      not null,
    tax             bigint      not null,
    total           bigint      not null,
    carrier         text        not null default '',
    tracking_number text        not null default '',
    placed_at       timestamptz not null,
    confirmed_at    timestamptz,
    shipped_at      timestamptz,
    delivered_at    timestamptz,
    constraint shop_order_pkey primary key (id),
    constraint shop_order_once unique (order_id, shop_id),
    constraint shop_order_status check (status in ('pending', 'confirmed', 'shipped', 'delivered', 'cancelled', 'refunded')),
    constraint shop_order_total check (subtotal >= 0 and discount >= 0 and shipping >= 0 and tax >= 0
        and total = subtotal - discount + shipping + tax)
) with (fillfactor = 75);
create index shop_order_history on shop_order (shop_id, placed_at desc, id desc);

create table order_item (
    order_id      text    not null,
    -- index among the order's lines, from 0
    position      integer not null,
    shop_order_id text    not null,
    variant_id    text    not null,
    product_id    text    not null,
    title         text    not null,
    sku           text    not null,
    options       jsonb   not null,
    quantity      bigint  not null,
    unit_price    bigint  not null,
    line_total    bigint  not null,
    constraint order_item_pkey primary key (order_id, position),
    constraint order_item_total check (quantity > 0 and unit_price >= 0 and line_total = quantity * unit_price)
);

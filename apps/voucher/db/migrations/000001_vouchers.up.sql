-- Percentages are in hundredths of a percent, amounts in minor units of the voucher's currency. 0 means unset.
create table voucher (
    id                    text        not null,
    -- '' for the whole marketplace
    shop_id               text        not null,
    code                  text        not null,
    title                 text        not null,
    kind                  text        not null,
    percent               bigint      not null,
    -- '' if there is no amount: it is for orders in any currency
    currency              text        not null,
    amount                bigint      not null,
    buy_quantity          bigint      not null,
    get_quantity          bigint      not null,
    min_subtotal          bigint      not null,
    product_ids           text[]      not null,
    category_ids          text[]      not null,
    first_order_only      boolean     not null,
    starts_at             timestamptz not null,
    ends_at               timestamptz,
    max_uses              bigint      not null,
    max_uses_per_customer bigint      not null,
    budget                bigint      not null,
    stackable             boolean     not null,
    operator_share        bigint      not null,
    state                 text        not null,
    -- how many orders use it, and what it took off them by currency, as {"BRL": 1250}
    used                  bigint      not null,
    spent                 jsonb       not null,
    created_at            timestamptz not null,
    updated_at            timestamptz not null,
    constraint voucher_pkey primary key (id),
    constraint voucher_code unique (code, shop_id),
    constraint voucher_kind check (kind in ('percent', 'fixed_amount', 'free_shipping', 'buy_x_get_y')),
    constraint voucher_state check (state in ('draft', 'active', 'disabled')),
    constraint voucher_amounts check (percent between 0 and 10000 and operator_share between 0 and 10000 and amount >= 0
        and min_subtotal >= 0 and budget >= 0 and used >= 0)
) with (fillfactor = 75);
create index voucher_list on voucher (shop_id, id desc);

-- How many orders of a customer use a voucher. A guest's order counts for the guest and for the mailbox.
create table voucher_customer (
    voucher_id text   not null,
    -- the customer's ID, or 'mailbox:' and a digest
    customer   text   not null,
    uses       bigint not null,
    constraint voucher_customer_pkey primary key (voucher_id, customer),
    constraint voucher_customer_uses check (uses >= 0)
) with (fillfactor = 75);

-- The use of vouchers by an order, once per order. A released one refuses a late call to redeem.
create table redemption (
    order_id    text        not null,
    customer_id text        not null,
    -- a guest's mailbox as a digest (see pkg/mailbox); empty for users
    mailbox     bytea       not null,
    state       text        not null,
    updated_at  timestamptz not null,
    constraint redemption_pkey primary key (order_id),
    constraint redemption_state check (state in ('redeemed', 'released'))
);
create index redemption_mailbox on redemption (mailbox) where mailbox <> '' and state = 'redeemed';
create index redemption_released on redemption (updated_at) where state = 'released';

create table redemption_voucher (
    order_id        text   not null,
    voucher_id      text   not null,
    currency        text   not null,
    amount          bigint not null,
    -- the part of the amount that the operator bears
    operator_amount bigint not null,
    constraint redemption_voucher_pkey primary key (order_id, voucher_id),
    constraint redemption_voucher_amount check (amount > 0 and operator_amount between 0 and amount)
);
create index redemption_voucher_uses on redemption_voucher (voucher_id);

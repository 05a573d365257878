-- A checkout claims the cart that it orders: one row per cart that was ever ordered. The claim is written with the order,
-- and given back with its refusal.
create table cart_claim (
    -- the cart's owner, or a guest whose cart was merged into it
    owner_id    text not null,
    -- the order that holds the claim; '' if none does. Once the order's items have left the cart, another order may take it.
    order_id    text not null,
    -- the order that held the claim before
    previous_id text not null default '',
    constraint cart_claim_pkey primary key (owner_id)
) with (fillfactor = 75);

-- the cart that was ordered: its owner, who stays when the order is adopted, and its version
alter table orders add column cart_owner_id text not null default '';
alter table orders add column cart_version bigint not null default 0;

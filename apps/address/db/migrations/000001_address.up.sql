-- What the address service owns.

-- A user's address book. Its row is locked by each change of the book.
create table address_book (
    owner_id  text primary key,
    addresses integer not null check (addresses between 0 and 50)
);

create table address (
    id               text primary key,
    owner_id         text not null references address_book,
    label            text not null,
    name             text not null,
    line1            text not null,
    line2            text not null,
    city             text not null,
    region           text not null,
    postal_code      text not null,
    country_code     text not null check (country_code ~ '^[A-Z]{2}$'),
    phone            text not null check (phone ~ '^(\+[0-9]+)?$'),
    default_shipping boolean not null,
    default_billing  boolean not null,
    created_at       timestamptz not null,
    updated_at       timestamptz not null
);

-- A page of a book begins after an ID.
create index address_owner on address (owner_id, id);
-- A book has one default each.
create unique index address_default_shipping on address (owner_id) where default_shipping;
create unique index address_default_billing on address (owner_id) where default_billing;

-- Persons who are invited to become members.
create table invitation (
    id          text primary key,
    shop_id     text not null references shop (id) on delete cascade,
    -- The invited address, in lower case. It is erased when the invitation ends; the row stays for a day, because a shop may
    -- only send some invitations a day.
    email       text not null,
    role        text not null check (role in ('owner', 'staff')),
    -- the user who accepted; '' if nobody has
    accepted_by text not null default '',
    created_at  timestamptz not null,
    -- when it ends if it is open, else when the row is deleted
    expires_at  timestamptz not null
);
create unique index invitation_open on invitation (shop_id, email) where email <> '';
create index invitation_shop on invitation (shop_id, created_at desc, id desc);
create index invitation_email on invitation (email, created_at desc, id desc) where email <> '';
create index invitation_expiry on invitation (expires_at);

-- Operators list shops by status, newest first.
create index shop_newest on shop (created_at desc, id desc);
create index shop_status on shop (status, created_at desc, id desc);

-- What recipients want. The owner is a user, or the digest of a mailbox whose address was typed in.
create table preference (
    owner      text primary key,
    -- choices that differ from the defaults: kind to channel to whether it is wanted
    kinds      jsonb       not null default '{}',
    quiet_from text        not null default '',
    quiet_to   text        not null default '',
    time_zone  text        not null default '',
    updated_at timestamptz not null
);

-- Keys that all processes share, by purpose.
create table secret (
    purpose text primary key,
    key     bytea not null
);

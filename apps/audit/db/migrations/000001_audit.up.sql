-- The audit trail: a chain of entries, each with the hash of itself and of the one before (package souk/pkg/audit).

create table entry (
    seq        bigint primary key check (seq > 0),
    at         timestamptz not null,
    actor_kind text not null,
    actor_id   text not null,
    roles      text[] not null,
    permission text not null,
    method     text not null,
    action     text not null,
    object     text not null,
    result     text not null,
    address    text not null,
    request_id text not null,
    hash       bytea not null
);

create index entry_actor on entry (actor_id, seq);
create index entry_object on entry (object, seq);
create index entry_action on entry (action text_pattern_ops, seq);
create index entry_at on entry (at);

-- The last entry, and the last one that was removed because of its age. One row, which writers lock.
create table chain (
    one       boolean primary key default true check (one),
    seq       bigint not null,
    hash      bytea not null,
    base_seq  bigint not null,
    base_hash bytea not null
);
insert into chain (seq, hash, base_seq, base_hash) values (0, '', 0, '');

create table checkpoint (
    seq       bigint primary key,
    hash      bytea not null,
    at        timestamptz not null,
    signature bytea not null
);

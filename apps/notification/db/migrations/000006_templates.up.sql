-- What operators wrote in place of the embedded texts. The greatest version is used.
create table template (
    kind       text        not null,
    channel    text        not null,
    locale     text        not null,
    version    integer     not null check (version > 0),
    subject    text        not null,
    body       text        not null,
    author     text        not null,
    created_at timestamptz not null,
    primary key (kind, channel, locale, version)
);

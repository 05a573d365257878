-- The version of the cart that was last reported as abandoned; 0: none was.
alter table cart add column abandoned bigint not null default 0;
create index cart_untouched on cart (updated_at) where abandoned < version and lines <> '[]' and owner_id like 'usr\_%';

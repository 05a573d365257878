-- Carts of users that were last changed after $1 and not after $2, and are not reported as abandoned. $3 now, $4 limit
select owner_id, version from cart
where abandoned < version and lines <> '[]' and owner_id like 'usr\_%'
  and updated_at > $1 and updated_at <= $2 and expires_at > $3
order by updated_at
limit $4

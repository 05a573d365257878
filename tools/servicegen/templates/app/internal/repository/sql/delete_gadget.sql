delete from gadgets
where id = $1 and owner_id = $2
returning id, owner_id, name, description, version, created_at, updated_at

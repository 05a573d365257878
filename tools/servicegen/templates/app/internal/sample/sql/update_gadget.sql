update gadgets
set name = $3, description = $4, version = $5, updated_at = $6
where id = $1 and owner_id = $2

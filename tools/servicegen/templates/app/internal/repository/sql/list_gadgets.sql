select id, owner_id, name, description, version, created_at, updated_at
from gadgets
where owner_id = $1 and id > $2
order by id
limit $3

-- A webhook that is enabled again, or moves, begins without failures.
update webhook set url = $2, events = $3, status = $4, disabled_reason = $5, updated_at = $6,
    given_up = case when url = $2 and status = $4 then given_up else 0 end,
    failing_since = case when url = $2 and status = $4 then failing_since end
where id = $1

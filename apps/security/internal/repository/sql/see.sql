-- Notes where a user was seen, and returns where the user was seen before, if that was noted. A sighting that is older than
-- the noted one changes nothing.
with before as (
    select country, at from sighting where user_id = $1 for update
), noted as (
    insert into sighting as s (user_id, country, at) values ($1, $2, $3)
    on conflict (user_id) do update set country = excluded.country, at = excluded.at where s.at <= excluded.at
)
select country, at from before

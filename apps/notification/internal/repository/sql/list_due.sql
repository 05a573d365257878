-- When a shop may get another list of a kind, of which it gets at most $3 in an hour.
select n.ended_at + interval '1 hour' from notice n
where n.state = 'done' and n.kind = $1 and n.shop_id = $2
order by n.ended_at desc offset $3::int - 1 limit 1

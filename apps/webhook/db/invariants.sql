-- One row per check: its name, the number of rows examined, the number that break the rule, and the ID of one of those.
with waiting as (
    select args ->> 'id' as id from river_job
    where kind = 'webhook_delivery' and state in ('available', 'pending', 'retryable', 'running', 'scheduled')
), checks as (
    select 'queued webhook deliveries have a job' as name, d.id,
           d.status = 'queued' and j.id is null as wrong
    from delivery d left join (select distinct id from waiting) j on j.id = d.id || '/' || d.round
    union all
    select 'webhooks have one current secret', w.id,
           (select count(*) from webhook_secret s where s.webhook_id = w.id and s.ends_at is null) <> 1
    from webhook w
    union all
    select 'a shop has at most 20 webhooks', min(w.id), count(*) > 20 from webhook w group by w.shop_id
)
select name, count(*), count(*) filter (where wrong), coalesce(min(id) filter (where wrong), '') from checks group by name order by name

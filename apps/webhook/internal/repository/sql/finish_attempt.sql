-- Records an attempt: $1 the delivery, $2 its round, $3 the delivery's new status, $4 1 or, without a request, 0, $5 the
-- answer's status, $6 why it failed, $7 when it ended, $8 when the next one is due, $9 1 if the message counts as given
-- up, otherwise 0, $10 whether the webhook is gone. A webhook is disabled after $11 messages in a row that were given up,
-- if there was no success since $12. A success after others changes nothing of the webhook.
with finished as (
    update delivery set status = $3, attempts = attempts + $4, round_attempts = round_attempts + $4, response_status = $5,
        failure = $6, last_attempt_at = case when $4 = 1 then $7 else last_attempt_at end, next_attempt_at = $8
    where id = $1 and round = $2 and status = 'queued'
    returning webhook_id, status = 'delivered' as accepted,
        case when $10::bool then 'gone' else 'failing' end as reason, $9::int as given_up
)
update webhook w set
    given_up = case when f.accepted then 0 else w.given_up + f.given_up end,
    failing_since = case when not f.accepted then coalesce(w.failing_since, $7) end,
    (status, disabled_reason, updated_at) = (
        select case when ends then 'disabled' else w.status end, case when ends then f.reason else '' end,
               case when ends then $7 else w.updated_at end
        from (select f.reason = 'gone' or not f.accepted and w.given_up + f.given_up >= $11 and w.failing_since <= $12) as x (ends)
    )
from finished f
where w.id = f.webhook_id and w.status = 'active' and $4 = 1 and not (f.accepted and w.failing_since is null)

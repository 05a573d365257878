-- Marks mails as sent that their sender still holds.
update mail m
set state = 'sent', sent_at = i.at, last_error = ''
from unnest($1::text[], $2::int[], $3::timestamptz[]) as i (id, attempts, at)
where m.id = i.id and m.state = 'sending' and m.attempts = i.attempts
returning m.id, 1::bigint as version

-- Suppresses a mailbox. A suppression is prolonged, and never shortened.
insert into suppression as s (id, mailbox, source, reason, created_at, expires_at) values ($1, $2, $3, $4, $5, $6)
on conflict (mailbox) do update
set source = excluded.source, reason = excluded.reason, expires_at = greatest(s.expires_at, excluded.expires_at)
returning id, source, reason, created_at, expires_at

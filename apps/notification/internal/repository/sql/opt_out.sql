-- Switches off mails of a kind, and keeps other choices.
insert into preference as p (owner, kinds, updated_at) values ($1, jsonb_build_object($2::text, '{"email": false}'::jsonb), $3)
on conflict (owner) do update
set kinds = p.kinds || jsonb_build_object($2::text, coalesce(p.kinds -> $2::text, '{}') || '{"email": false}'), updated_at = $3

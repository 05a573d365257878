package saga

// The statements of the runner. All times are database times, so that one clock decides about leases.
const (
	sqlStart = `
insert into saga (id, type, def_version, input, state, step, epoch, owner, lease_until, next_run_at, deadline, traceparent)
select n.id, n.type, n.def_version, n.input, 'running', 0, 1, n.owner, now() + make_interval(secs => n.lease), now(), now() + make_interval(secs => n.deadline), n.traceparent
from unnest($1::text[], $2::text[], $3::int[], $4::json[], $5::text[], $6::float8[], $7::float8[], $8::text[])
  as n (id, type, def_version, input, owner, lease, deadline, traceparent)`

	// sqlEnqueue starts a saga that no process holds: the next runner that polls claims it.
	sqlEnqueue = `
insert into saga (id, type, def_version, input, state, step, epoch, owner, lease_until, next_run_at, deadline, traceparent)
values ($1, $2, $3, $4, 'running', 0, 1, '', now(), now(), now() + make_interval(secs => $5), '')
on conflict (id) do nothing`

	// columns are the columns of a held saga. Its deadline is read as an interval from now, so that the clock of the
	// process does not matter.
	columns = `s.id, s.type, s.def_version, s.input, s.results, s.state, s.step, s.epoch,
extract(epoch from s.deadline - now())::float8, s.attempts, s.last_error,
s.error_code, s.error_message, s.error_retry_ms, s.error_fields, s.traceparent`

	sqlClaim = `
with due as (
  select c.id from saga c
  join unnest($3::text[], $4::int[]) as known (type, version) on known.type = c.type and known.version = c.def_version
  where c.state in ('running', 'compensating') and c.lease_until < now()
  order by c.lease_until limit $5
  for update of c skip locked)
update saga s
set epoch = s.epoch + 1, owner = $1, lease_until = now() + make_interval(secs => $2), updated_at = now()
from due where s.id = due.id
returning ` + columns

	// sqlInherit claims the sagas of an earlier process of the same name without waiting for their leases to expire.
	sqlInherit = `
with due as (
  select c.id from saga c
  join unnest($3::text[], $4::int[]) as known (type, version) on known.type = c.type and known.version = c.def_version
  where c.state in ('running', 'compensating') and c.owner <> $1 and split_part(c.owner, '#', 1) = $6
  order by c.lease_until limit $5
  for update of c skip locked)
update saga s
set epoch = s.epoch + 1, owner = $1, lease_until = now() + make_interval(secs => $2), updated_at = now()
from due where s.id = due.id
returning ` + columns

	sqlClaimOne = `
update saga s
set epoch = s.epoch + 1, owner = $1, lease_until = now() + make_interval(secs => $2), updated_at = now()
where s.id = $5 and s.state in ('running', 'compensating') and (s.lease_until < now() or s.owner = $1)
and (s.type, s.def_version) in (select known.type, known.version from unnest($3::text[], $4::int[]) as known (type, version))
returning ` + columns

	// Rows are locked in the order of their IDs, here and in writes, so that two statements cannot deadlock.
	sqlRenew = `
with held as (
  select s.id from saga s
  join unnest($2::text[], $3::bigint[]) as w (id, epoch) on w.id = s.id
  where s.epoch = w.epoch and s.owner = $1 and s.state in ('running', 'compensating')
  order by s.id for update of s)
update saga s set lease_until = now() + make_interval(secs => $4)
from held where s.id = held.id
returning s.id`

	// The following parts form statements that write the progress of many sagas. A row with another epoch or owner
	// does not match. A repeated write matches, because the first attempt may have taken effect although its answer
	// was lost. The arrays are read through sub-selects, which hide their lengths from the planner. Otherwise it
	// would make a new plan for each execution, which takes longer than the execution.

	// plainInput and plainChanges are for plain writes, which are the most frequent: see plain in store.go.
	plainInput = `
with w as (
  select * from unnest((select $2::text[]), (select $3::bigint[]), (select $4::text[]), (select $5::int[]), (select $6::int[]), (select $7::text[]), (select $8::int[]),
    (select $9::text[]), (select $10::text[]))
  as w (id, epoch, from_state, low, high, state, step, results, history)`
	plainChanges = `
  set state = w.state, step = w.step, results = w.results::json, attempts = 0, last_error = '', input = case when w.state in ('done', 'compensated') then '{}' else s.input end,
    updated_at = now(), ended_at = case when w.state in ('done', 'compensated') then now() end`

	fullInput = `
with w as (
  select * from unnest((select $2::text[]), (select $3::bigint[]), (select $4::text[]), (select $5::int[]), (select $6::int[]), (select $7::text[]), (select $8::int[]),
    (select $9::text[]), (select $10::text[]), (select $11::text[]), (select $12::int[]), (select $13::text[]), (select $14::text[]), (select $15::text[]),
    (select $16::bigint[]), (select $17::text[]), (select $18::float8[]))
  as w (id, epoch, from_state, low, high, state, step, results, history, parked_from, attempts, last_error,
    error_code, error_message, error_retry_ms, error_fields, delay)`
	fullChanges = `
  set state = w.state, parked_from = nullif(w.parked_from, ''), step = w.step, results = w.results::json,
    input = case when w.state in ('done', 'compensated') then '{}' else s.input end, attempts = w.attempts, last_error = w.last_error, error_code = w.error_code, error_message = w.error_message,
    error_retry_ms = w.error_retry_ms, error_fields = w.error_fields::json,
    owner = case when w.delay is null then s.owner else '' end,
    lease_until = case when w.delay is null then s.lease_until else now() + make_interval(secs => w.delay) end,
    next_run_at = case when w.delay is null then s.next_run_at else now() + make_interval(secs => w.delay) end,
    updated_at = now(), ended_at = case when w.state in ('done', 'compensated') then now() end`

	held = `
), held as (
  select s.id, s.epoch from saga s join w on w.id = s.id
  where s.epoch = w.epoch and s.owner = $1 and s.state in (w.from_state, w.state) and s.step between w.low and w.high
  order by s.id for update of s
), written as (
  update saga s`
	insertHistory = `
  from w join held on held.id = w.id and held.epoch = w.epoch
  where s.id = w.id
  returning s.id, s.epoch, w.history
), history as (
  insert into saga_story (saga_id, epoch, steps)
  select x.id, x.epoch, x.history::json from written x where x.history <> ''
)`
	returnWritten = `
select id, epoch from written`
	// fenced raises an error unless all rows match, which rolls back the batch that it is a part of.
	fenced = `
select souk_saga_fence((select count(*) from written) = cardinality($2::text[]), ($2::text[])[1], ($3::bigint[])[1], $1)`

	sqlWritePlain    = plainInput + held + plainChanges + insertHistory + returnWritten
	sqlWriteFull     = fullInput + held + fullChanges + insertHistory + returnWritten
	sqlWriteAllPlain = plainInput + held + plainChanges + insertHistory + fenced
	sqlWriteAllFull  = fullInput + held + fullChanges + insertHistory + fenced

	sqlOutcomes = `
select s.id, s.type, s.def_version, s.results, s.state, coalesce(s.parked_from, ''), s.step,
s.error_code, s.error_message, s.error_retry_ms, s.error_fields
from saga s where s.id = any ($1)`

	sqlStats = `
select s.type, s.def_version, s.state = 'parked', count(*)
from saga s
where s.state = 'parked' or (s.state in ('running', 'compensating') and s.lease_until < now() - interval '1 second')
group by s.type, s.def_version, s.state = 'parked'`

	sqlList = `
select s.id, s.type, s.def_version, s.state, coalesce(s.parked_from, ''), s.step, s.epoch, s.owner, s.lease_until, s.next_run_at,
s.deadline, s.attempts, s.last_error, s.error_code, s.error_message, s.created_at, s.updated_at, s.ended_at
from saga s
where ($1 = '' or s.state = $1) and ($2 = '' or s.type = $2)
order by s.created_at desc, s.id limit $3`

	sqlShow = `
select s.id, s.type, s.def_version, s.state, coalesce(s.parked_from, ''), s.step, s.epoch, s.owner, s.lease_until, s.next_run_at,
s.deadline, s.attempts, s.last_error, s.error_code, s.error_message, s.created_at, s.updated_at, s.ended_at, s.input, s.results
from saga s where s.id = $1`

	sqlHistory = `
select x.epoch, x.steps from saga_story x where x.saga_id = $1`

	sqlResume = `
update saga s
set state = s.parked_from, parked_from = null, epoch = s.epoch + 1, owner = '', attempts = 0, lease_until = now(), next_run_at = now(),
  error_code = case when s.parked_from = 'running' then '' else s.error_code end,
  error_message = case when s.parked_from = 'running' then '' else s.error_message end,
  error_retry_ms = case when s.parked_from = 'running' then 0 else s.error_retry_ms end,
  error_fields = case when s.parked_from = 'running' then null else s.error_fields end,
  updated_at = now()
where s.id = $1 and s.state = 'parked'`

	sqlDeleteEnded = `
with old as (
  select id from saga where ended_at < now() - make_interval(secs => $1) limit $2 for update skip locked
), history as (
  delete from saga_story x using old where x.saga_id = old.id
), steps as (
  delete from saga_step x using old where x.saga_id = old.id
)
delete from saga s using old where s.id = old.id`
)

// The SQLSTATEs that the functions of the migrations raise.
const (
	stateLost    = "SK001"
	stateDone    = "SK002"
	stateRefused = "SK003"
)

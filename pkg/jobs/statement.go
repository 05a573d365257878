package jobs

import "strconv"

// WithJobs returns a statement that changes rows and inserts the jobs of the changed ones, for a repository that does
// both in one round trip. Change is a list of common table expressions, the last of which is named changed and has the
// columns id, job, queue, due and at. Each of its rows makes a job of the kind job, whose argument is {"id": id}, and
// which runs when it is due, or at once if that is not after at. The job has at most maxAttempts attempts.
//
// River's tables may be written so: its clients for other languages do it.
func WithJobs(change string, maxAttempts int) string {
	// A job that runs at once is due a second ago, in case that the database's clock is behind.
	return "with " + change + `, inserted as (
    insert into river_job (kind, args, queue, max_attempts, scheduled_at)
    select c.job, jsonb_build_object('id', c.id), c.queue, ` + strconv.Itoa(maxAttempts) + `,
           case when c.due > c.at then c.due else c.at - interval '1 second' end
    from changed c
    returning queue
)
select pg_notify(current_schema() || '.river_insert', json_build_object('queue', i.queue)::text) from inserted i group by i.queue`
}

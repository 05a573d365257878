// Package outbox carries events from the transaction that appends them to every service that consumes them.
//
// # Publishing
//
// [Append] (or [Queue], in a batch) writes events into the table outbox in the transaction of the change:
// either both are committed or neither. A [Relay] publishes rows whose sent_at is null to the JetStream stream
// EVENTS, and marks them. It never queries "seq > last": the order of sequence numbers is not the order
// of commits, and a row that commits late would be lost.
//
//   - Nats-Msg-Id is the event's ID. A row that was published but not marked is published again. The stream's
//     duplicates window (10 seconds) drops the copy; after that the inboxes do.
//   - Order holds for each aggregate. Append its events after its row is locked, so that seq has their order.
//     From reading rows to marking them a relay holds an advisory lock of the database, so any number of relays
//     may run: one publishes, the others do nothing, and PostgreSQL releases the lock of a relay that dies.
//     With select … for update skip locked, two relays could interleave an aggregate's events. The lock belongs to
//     the transaction that marks the rows, so a pooler in transaction mode may stand between souk and PostgreSQL.
//   - The relays of one process tick at the same moments, and the [Publisher] publishes their rows in one flush. Many
//     rows are one atomic batch. Few rows, or rows of a batch that the server refuses because it has one of
//     them already, are published in parallel, but an aggregate's next event only after the one before it.
//   - While JetStream or PostgreSQL is away the relay retries with backoff, and at once when NATS is back.
//
// [Relay.Wake] wakes the relay of its own process. The relay waits a few milliseconds for more rows and takes
// all of them. It also polls twice a second, for rows without a wake: those of a process that died, or of a replay.
// There is no NOTIFY: it holds a server-wide lock until its transaction is durable, which
// prevents group commit. Measured on 2 cores with one insert and one outbox row per transaction,
// synced: 8,900 transactions/s without and 3,000 with a notifying trigger at 16 connections, 7,600 and
// 2,600 at 32. An idle poll is one query of a small partial index.
//
// The mark sent_at is written without waiting for the disk (synchronous_commit is off for it). A crash can
// lose marks but never events, and rows without a mark are published again.
//
// # Consuming
//
// A [Consumer] is durable under "{service}_{purpose}": each such name gets every event once, however many
// processes share it. It handles the events that arrive within a few milliseconds in one transaction, and inserts a
// row for each into the table inbox; an event that has a row already is skipped. It acknowledges after the commit.
// So an effect in the database happens once, even if the event is delivered twice.
//
// When a transaction fails, its events are tried one by one. The event that fails is delivered again after a
// backoff, and later events of its aggregate wait for it. An event that has failed MaxDeliver times, or a message
// that is not an event, goes to the stream DEAD with the reason. [ListDead] lists dead letters; [ReplayDead]
// sends one to its consumer again. A database that is away does not count as a failure: events wait.
//
// Failures are counted in the table inbox_attempt, so the count survives a restart. JetStream's count of
// deliveries does not condemn an event, because it also grows while an event waits. Only after a hundred
// deliveries is an attempt counted before it is made: that bounds the attempts of an event that kills its
// process.
//
// Order is kept within a process. When a connection breaks, or another process takes over, an event may
// arrive after a later one of its aggregate; a handler that depends on order compares AggregateVersion.
//
// # Rebuilding
//
// Rows are kept for at least 7 days. [Replay] publishes them again, in order, to restore a JetStream that lost its
// files. Inboxes keep their rows for 30 days. Missing streams and consumers are created again.
package outbox

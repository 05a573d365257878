// Package outbox carries events from the transaction that they tell of to every service that cares.
//
// # Telling
//
// [Append] (or [Queue], in a batch) writes events into the table outbox in the transaction of the change:
// either both are there or neither. A [Relay] takes rows whose sent_at is null to the JetStream stream
// EVENTS, and marks them. It never asks for "seq > last": the order of sequence numbers is not the order
// of commits, and a row that commits late would be lost.
//
//   - Nats-Msg-Id is the event's ID: what a relay published but could not mark is published again and
//     dropped by the stream's duplicates window (10 seconds), or after that by the inboxes.
//   - Order holds for each aggregate. Write its events after its row is locked, so that seq has its order.
//     From reading rows to marking them a relay holds a session advisory lock of the database, so any
//     number of relays may run: one works, the others find nothing to do, and PostgreSQL frees the lock of
//     one that dies. Select … for update skip locked would let two of them interleave an aggregate. The lock
//     needs a session: between souk and PostgreSQL there may be no pooler in transaction mode.
//   - Relays of one process look at the same moments, and what they find goes out together ([Publisher]): many rows as
//     one atomic batch; few, or when the server refuses the batch because one of them
//     is there already, side by side, the next event of an aggregate after the one before.
//   - While JetStream or PostgreSQL is away the relay tries again, with backoff, and at once when NATS is back.
//
// The relay is woken by [Relay.Wake] in its own process, waits a few milliseconds for more to come, and takes
// all. Twice a second it looks by itself for what nobody woke it for: rows of a process that died, or of a
// replay. There is no NOTIFY: it holds a lock of the whole server until its transaction is
// durable, and with it goes group commit. Measured on 2 cores, an insert and an outbox row a transaction,
// synced: 8,900 transactions/s without and 3,000 with a notifying trigger at 16 connections, 7,600 and
// 2,600 at 32. An idle poll is one look into a small partial index.
//
// The mark sent_at is written without waiting for the disk (synchronous_commit is off for it): an outage can
// lose marks, never events, and rows without a mark are published again.
//
// # Hearing
//
// A [Consumer] is durable under "{service}_{purpose}": each such name gets every event once, however many
// processes share it. It takes what comes within a few milliseconds in one transaction with a row in the table inbox for
// each event; an event that has such a row is skipped. JetStream is told after the commit. So an effect
// in the database happens once, whatever is delivered twice.
//
// When a transaction fails its events are tried one by one. The one that fails comes again after a
// backoff, and later events of its aggregate wait for it. What has failed MaxDeliver times, and what is no
// event at all, goes to the stream DEAD with the reason; [ListDead] shows it and [ReplayDead] gives it to
// that consumer once more. A database that is away does not count as a failure: events wait.
//
// Failures are counted in the table inbox_attempt, so that a restart changes nothing. JetStream's count of
// deliveries goes up while an event waits, too, and condemns nothing. Only after a hundred of them is an
// attempt counted before it is made: that bounds an event of which the process dies.
//
// Order is kept within a process. When a connection breaks, or another process takes over, an event may
// come after a later one of its aggregate; a handler that minds compares AggregateVersion.
//
// # Rebuilding
//
// Rows stay for 7 days at least. [Replay] publishes them again, in order, so that a JetStream that lost its
// files has everything; inboxes remember for 30 days. Streams and consumers that are gone are made again.
package outbox

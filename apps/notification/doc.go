// Package notification is the notification service: it mails customers about their orders.
//
// It owns the mails and their states. It does not own orders or addresses: neither events nor its table hold
// a name or an address. Both are requested (order.GetOrderForNotice, user.BatchGetUsers) when a mail is sent.
//
// # At a glance
//
//   - Owns: mails about orders
//   - PostgreSQL: mail, outbox, inbox
//   - Redis: –
//   - Consumes: evt.order.*
//   - Publishes: evt.notification.sent
//
// # Contract
//
// No RPCs. Consumed: evt.order.confirmed, and evt.order.cancelled of orders that were confirmed. Published:
// evt.notification.sent; the aggregate is the mail.
//
// # One mail
//
// The consumer writes a row of the table mail in the transaction of its inbox; (kind, order) is unique. A
// sender in each process claims due rows (for update skip locked) for a minute, which is longer than an
// attempt may take, so no two processes send the same mail. It is a loop of our own and not a job queue:
// support needs the row anyway ("was it sent?"), and a wake right after the event is faster than a poll.
//
// A mail fails for good if the server refuses it permanently (a 5xx about sender, recipient or content), if
// its order does not exist, or if there is no address. It is counted in mail_failed_total and logged. After
// any other failure the mail is retried, with a backoff from one second to ten minutes, until give_up.
//
// While the database is away, the result of a mail is recorded again and again until the claim ends.
//
// SMTP has no transactions. A mail is sent twice if the process dies after the server accepted it and before
// that is recorded, or if the database is away from the acceptance to the end of the claim (at least 15
// seconds) or to 10 seconds after the process was stopped. Both copies have the same Message-ID,
// <{order}.{kind}@souk>, by which most mail servers and clients drop the second. Nothing else sends a mail
// twice.
//
// # Tables
//
//   - mail: one row per mail. state queued → sending → sent, failed, or queued again.
//   - outbox, inbox: see pkg/outbox.
package notification

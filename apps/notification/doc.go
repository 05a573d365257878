// Package notification is the notification service: it tells customers by mail what became of their orders.
//
// It owns which mails there are and what became of each. It does not own orders nor addresses: neither
// events nor its table hold a name or an address; both are asked for (order.GetOrderForNotice,
// user.BatchGetUsers) when a mail is sent.
//
// # Contract
//
// No RPCs. Events in: evt.order.confirmed, and evt.order.cancelled of orders that were confirmed. Out:
// evt.notification.sent; the aggregate is the mail.
//
// # One mail
//
// The consumer writes a row of the table mail in the transaction of its inbox; (kind, order) is unique. A
// sender in each process claims rows that are due (for update skip locked) for a minute, which is longer
// than a try may take, so no two send the same mail. It is our own loop and not a job queue, because the row is
// needed anyway, for what support asks ("was it sent?"), and a wake right after the event beats a poll.
//
// A mail that the server refused for good (a 5xx about sender, recipient or content), whose order does not exist or that has no address to
// go to is failed: counted in mail_failed_total and logged. All else is tried again, after a second at
// first and ten minutes at most, until give_up.
//
// What became of a mail is written down again and again while the database is away, until the claim ends.
//
// SMTP has no transactions: a process that dies after the server took a mail and before that is written
// leaves a mail that will be sent a second time, and so does one whose database is away from then to the end of the claim
// (at least 15 seconds), or to 10 seconds after it was told to stop. Both mails have the same Message-ID, <{order}.{kind}@souk>,
// by which mail servers and clients recognise and mostly drop the second. No other window sends twice.
//
// # Tables
//
//   - mail: one row a mail. state queued → sending → sent, failed, or queued again.
//   - outbox, inbox: see pkg/outbox.
package notification

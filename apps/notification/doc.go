// Package notification is the notification service: it mails customers about their orders, and owners about their
// shops.
//
// It owns the mails and their states. It does not own orders, shops or addresses: neither events nor its tables hold
// a name of a person or an address. They are requested when a mail is sent (order.GetOrderForNotice,
// shop.GetShopForNotice, shop.GetInvitationForNotice, user.BatchGetUsers).
//
// # At a glance
//
//   - Owns: mails about orders and shops
//   - PostgreSQL: mail, recipient_mail, outbox, inbox
//   - Redis: –
//   - Consumes: evt.order.*, evt.shop.*, evt.inventory.low
//   - Publishes: evt.notification.sent
//
// # Contract
//
// No RPCs. Consumed: evt.order.confirmed, .shipped, .delivered, and .cancelled of orders that were confirmed;
// evt.shop.verified, .suspended, .member_invited; evt.inventory.low. Published: evt.notification.sent; the aggregate
// is the mail.
//
// # Who gets what
//
// A customer gets a mail when an order is confirmed or cancelled, and when a shop has sent its part or that was
// delivered. The owners of a shop get one about new orders, low stock, and a changed status of the shop. An invited
// person gets the invitation.
//
// New orders and low stock are lists: what happens while a list waits is added to it, and a shop gets at most 6 lists
// of new orders and one of low stock in an hour. A mail to a shop is split into one for each owner when it is due.
//
// # Against misuse
//
// Anyone can have a mail sent to any address: as a guest who orders, or as a seller who invites. So a recipient gets
// at most max_per_hour mails in an hour; the rest waits. Recipients are counted by a digest of the address, which is
// deleted after an hour. A confirmation waits for hold: if the customer cancels the order within that time, neither
// it nor the cancellation is sent. A cancellation by a shop or an operator is always sent. The services that store
// names and addresses refuse web addresses in them. Mails leave web addresses out of everything that others wrote, such
// as titles.
//
// # One mail
//
// The consumer writes a row of the table mail in the transaction of its inbox; (kind, what it is about) is unique. A
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
// <{order or mail}.{kind}@souk>, by which most mail servers and clients drop the second. Nothing else sends a mail
// twice.
//
// # Tables
//
//   - mail: one row per mail. state queued → sending → sent, failed, skipped (not needed any more), split (into one
//     for each owner), or queued again.
//   - recipient_mail: which mails a recipient has got in the last hour.
//   - outbox, inbox: see pkg/outbox.
package notification

// Package notification is the notification service: it sends customers notices about their orders, and owners
// about their shops.
//
// It owns the notices and their deliveries. It does not own orders, shops or addresses: neither events nor its
// tables hold a name of a person or an address. They are requested when a delivery is sent (order.GetOrderForNotice,
// cart.GetCartForNotice, shop.GetShopForNotice, shop.GetInvitationForNotice, user.BatchGetUsers).
//
// # At a glance
//
//   - Owns: notices about orders, shops, carts, reviews and accounts, their deliveries, inboxes, preferences,
//     devices and texts
//   - PostgreSQL: notice, delivery, notification, preference, device, template, recipient_mail, suppression,
//     secret, outbox, inbox, river_job
//   - Redis: –
//   - Consumes: evt.order.*, evt.payment.refunded, evt.shop.*, evt.inventory.low, evt.cart.abandoned,
//     evt.review.*, evt.voucher.*, evt.user.*
//   - Publishes: evt.notification.sent
//   - Reaches: the mail server, Twilio, push services
//
// # Contract
//
// RPCs: see notification.proto. The gateway streams inboxes (GET /v1/me/notifications:stream) and shows the page of
// unsubscribe links (/v1/unsubscribe) by RPCs of this service. Consumed: evt.order.confirmed, .shipped, .delivered,
// and .cancelled of orders that were confirmed; evt.payment.refunded; evt.shop.verified, .suspended,
// .member_invited; evt.inventory.low; evt.cart.abandoned; evt.review.posted, .moderated, .replied;
// evt.voucher.used_up; evt.user.new_device, .email_changed, .suspended, .reinstated. Published: evt.notification.sent; the
// aggregate is the delivery.
//
// # Who gets what
//
// A customer gets a notice when an order is confirmed or cancelled, when a shop has sent its part or that was
// delivered, and when money was paid back. A user gets one about a cart that was abandoned, unless it has changed
// since or nothing in it can be bought; about an operator's decision on a review of theirs, and the shop's first
// reply to it; about a sign-in with a new browser; and about a changed e-mail address, which also goes to the former
// one. The owners of a shop get one about new orders, about an order that was cancelled after they had a notice of
// it, about low stock, about new reviews, about a voucher that was used up, and about a changed status of the shop.
// An invited person gets the invitation.
//
// New orders, low stock and new reviews are lists: what happens while a list waits is added to it, and a shop gets at
// most 6 lists of new orders, one of low stock and one of reviews in an hour.
//
// A notice goes by mail, into the inbox of a user, to the devices that the user registered (web push, FCM), and, if
// the user wants that, as a text message (Twilio). Guests get mails only. Users choose by kind and channel; mails of
// some kinds cannot be switched off (domain.Rule). Mails of other kinds have a link that ends them without sign-in
// (RFC 8058). During a user's quiet hours, those mails, text messages and push messages wait.
//
// An inbox keeps the newest 500 notifications of 90 days. The gateway polls once a second for all streams together.
//
// # Texts
//
// The texts of each kind are embedded in English, Portuguese and Vietnamese (internal/service/texts). A user reads
// the language of the profile; guests read English. Operators write versions of a text: a template that shows fields
// and chooses by them, and nothing else. A mail has a layout around it, so that no text can break the HTML. A text
// that cannot be filled in is replaced by the embedded one, and that is logged.
//
// # Against misuse
//
// Anyone can have a mail sent to any address: as a guest who orders, or as a seller who invites. So a recipient gets
// at most max_per_hour mails in an hour; the rest waits. Recipients are counted by a digest of the address, which is
// deleted after an hour. A confirmation waits for hold: if the customer cancels the order within that time, neither
// it nor the cancellation is sent. A cancellation by a shop or an operator is always sent. The services that store
// names and addresses refuse web addresses in them. Mails leave web addresses out of everything that others wrote,
// such as titles.
//
// # From an event to a delivery
//
// The consumer adds a notice in the transaction of its inbox, with a job of River that runs when the notice is due;
// (kind, what it is about) is unique. That job requests the recipients, and ends the notice with a delivery for each
// recipient and channel, and a job for each of them; (notice, recipient, channel) is unique. The second job sends
// the delivery. Both skip what has ended already, so a job that runs again has no effect. The rows of delivery are
// the log: support needs to know what was sent.
//
// All of this is in PostgreSQL, and not in documents: notice, delivery and job must be written in one transaction.
// Each channel has a queue of its own, so a mail server that is slow or away delays nothing else.
//
// A delivery fails for good if the provider refuses it permanently (a 5xx about sender, recipient or content), if
// its order does not exist, or if there is no address. It is counted in delivery_failed_total and logged. After
// any other failure it is retried, with a backoff from one second to ten minutes, until give_up. The job of a process
// that died is retried within half a minute after its timeout, which is a minute with the default settings.
//
// While the database is away, the result of a delivery is recorded again and again until the job's timeout.
//
// A mailbox that is refused because it does not exist (an enhanced code such as 5.1.1) is
// put on the suppression list for 30 days: mails to it are skipped, with that reason in the log. Operators see the
// list, add what their provider reports, and lift suppressions. Mailboxes are named there by a keyed digest. Bounces
// that come as mails are not read.
//
// If a push service does not know a device any more (404, 410), the device is deleted. The addresses of browsers'
// push services come from users: addresses that are not public are refused when they are registered, and when a name
// is dialled that leads to one.
//
// SMTP has no transactions. A mail is sent twice if the process dies after the server accepted it and before
// that is recorded, or if the database is away from the acceptance to the job's timeout or to 10 seconds after the
// process was stopped. Both copies have the same Message-ID, <{order or delivery}.{kind}@souk>, by which most mail
// servers and clients drop the second. The same holds for Twilio and push services, which know no keys. Nothing else
// sends anything twice. What goes into an inbox is there once: it is written with its state.
//
// # Tables
//
//   - notice: what happened; it is deleted 180 days after its end, with its deliveries. state queued → done (its
//     deliveries exist), failed or skipped (not needed).
//   - delivery: one row per notice, recipient and channel. state queued → sent, failed or skipped. The recipient is a
//     user, an order (the address typed at its checkout) or an invitation.
//   - notification: the inboxes.
//   - suppression: mailboxes that get no mails.
//   - preference: what users, and mailboxes that were typed in (by digest), do not want; quiet hours.
//   - device: where users get push messages, encrypted. template: versions of texts. secret: the key of unsubscribe links.
//   - recipient_mail: which mails and text messages a recipient has got in the last hour.
//   - outbox, inbox: see pkg/outbox. river_job and others: see pkg/jobs.
package notification

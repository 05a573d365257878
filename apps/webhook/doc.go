// Package webhook is the webhook service: it sends events to the systems of shops and integrators.
//
// It owns the webhooks of shops and of the marketplace, their secrets, and the log of what was sent. It does not own
// the events: it consumes those of the other services, and shows a shop only what concerns it.
//
// # At a glance
//
//   - Owns: webhooks, their secrets, the log of deliveries
//   - PostgreSQL: webhook, webhook_secret, delivery, River's tables, inbox
//   - Redis: –
//   - Consumes: evt.order.*, evt.payment.*, evt.product.*, evt.inventory.*, evt.review.*, evt.voucher.*, evt.shop.*,
//     evt.user.*, evt.notification.*
//   - Publishes: –
//   - Reaches: webhooks of shops and integrators
//
// # Contract
//
// souk.webhook.v1.WebhookService: members of a shop manage its webhooks, and operators those of the marketplace and of
// any shop. Only the answers to a creation and to a rotation show a secret.
//
// # Messages
//
// A message follows Standard Webhooks (https://www.standardwebhooks.com): headers webhook-id, webhook-timestamp and
// webhook-signature; the body is {type, timestamp, data}. The ID is that of the event and the same in each attempt, so
// that a receiver can ignore repetitions. Data is the event. A shop gets its own part of an event that concerns
// several, without the customer. After a rotation the earlier secrets sign, too, for a day.
//
// A webhook gets the events that happen after its creation, while it is active. Messages come at least once and in any
// order: the timestamp says when an event happened.
//
// # Deliveries
//
// The consumer writes a delivery, which is unique for webhook and event, and its River job in the transaction of its
// inbox. A job makes the attempts of one round. An attempt is a POST with a timeout; only the status of the answer is
// kept, and a redirect is not followed. A status 2xx ends the round. After others the job is snoozed, for five seconds
// at first and twenty hours at last. After about three days the message is given up. A redelivery begins a new round
// with a new job; the job of the earlier round finds nothing to do. If a process dies between the POST and its record,
// River gives the job to another one, which sends the message again.
//
// The status 410 disables the webhook at once. It is also disabled after five messages in a row were given up and five
// days without success.
//
// A process has at most sixteen requests in flight to the webhooks of one shop, and four to one that takes longer than
// a quarter of a second. Messages that find no place are snoozed, so a slow receiver delays only its own.
//
// # Addresses
//
// The guard of pkg/httpclient refuses all addresses that are not public when the connection is made, after the name was
// resolved. So no webhook reaches souk's own network, whatever its name means at the time.
//
// # Tables
//
//   - webhook: one row per webhook. shop_id is empty for those of the marketplace.
//   - webhook_secret: the valid secrets. They are stored as they are, because they sign.
//   - delivery: the log. Rows that have ended are deleted after keep_deliveries.
//   - inbox: see pkg/outbox. river_job and others: see pkg/jobs.
package webhook

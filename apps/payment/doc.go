// Package payment is the payment service: the money side of orders.
//
// It owns payments, refunds and the notices of payment providers. It does not own orders, nor the decision to
// capture or refund: the order service's sagas make it. It never sees a card number; a card number sent in
// place of a token is refused.
//
// # At a glance
//
//   - Owns: payments, refunds, what providers say; a sandbox provider
//   - PostgreSQL: payment, refund, webhook_inbox, outbox; schema sandbox
//   - Redis: –
//   - Consumes: –
//   - Publishes: evt.payment.*
//   - Reaches: the payment provider
//
// # Contract
//
// souk.payment.v1.PaymentService: Authorize, Capture, Void and Refund for the order service, GetPayment for
// customers, ReceiveWebhook for the gateway. Authorize, Capture and Void are idempotent by order, Refund by
// its key. After a timeout or unavailable the outcome is unknown; the same call again finds it out.
//
// # Events
//
// Published: evt.payment.initiated, completed (captured), failed, refunded; the aggregate is the payment.
// Consumed: none.
//
// # States
//
//	pending → authorized → captured → partially_refunded → refunded
//	pending → captured, failed
//	pending, authorized → voided
//
// A refund of cash that was not collected yet is waived: the payment stays authorized, less is captured later, and when
// nothing is left it is voided.
//
// A request to the provider is written before it is sent. The provider is called outside of any transaction
// with the payment's ID as idempotency key. Whatever the provider says (as an answer, a webhook or a status)
// moves the payment through the same guarded update. A void of an order without payment leaves a tombstone that
// refuses a late Authorize. Statuses that the public API names for providers with redirects (requires_action) do
// not occur with the sandbox. Cash on delivery uses no provider.
//
// The setting payment.provider names the provider. It has no default. Another provider implements service.Provider
// and is added to providers in module.go.
//
// # Tables
//
//   - payment: one row per order. Those that failed or were voided are deleted after forget_refused_after. Amounts are
//     minor units. order_id is unique. asked_at is the reconciler's queue; it is set while the outcome is open.
//   - refund: one row per refund. (payment_id, idem_key) is unique. state is requested, done, refused or waived.
//   - webhook_inbox: the provider's events, once each, kept for 30 days; a provider repeats an event for a
//     few days at most. A webhook holds one or several events. Most of them change nothing and are recorded
//     without waiting for the disk.
//   - outbox, inbox: see pkg/outbox.
//   - schema sandbox: the books of the embedded provider (charge, refund, ledger_entry, call, webhook). The sandbox
//     creates it when it opens. sandbox.charge.key is payment.id. Only its invariants join the two. A webhook is
//     deleted when it is delivered, or 30 days after it was dropped. Calls are kept for 30 days.
//
// # Failpoints
//
// Failpoints lists them; each is between two writes.
package payment

// Package payment is the payment service: the money side of orders.
//
// It owns payments, refunds and what providers told us. It does not own orders, nor the decision to
// capture or to refund: the order service's sagas make it. It never sees a card number; one that is sent
// in a token's place is refused.
//
// # Contract
//
// souk.payment.v1.PaymentService: Authorize, Capture, Void and Refund for the order service, GetPayment for
// customers, ReceiveWebhook for the gateway. All are idempotent: by order, and Refund by its key. An answer
// timeout or unavailable means that nobody knows: the same call again finds out.
//
// # Events
//
// Out: evt.payment.initiated, completed (captured), failed, refunded; the aggregate is the payment. In: none.
//
// # States
//
//	pending → authorized → captured → partially_refunded → refunded
//	pending → captured, failed
//	pending, authorized → voided
//
// What is about to be asked of the provider is written first, the provider is called outside of any
// transaction with the payment's ID as its key, and what it says (as an answer, a webhook or a status)
// moves the payment by the same guarded update. An authorization is written a quarter of a second after its
// answer, unless a capture or a void was: a pending payment may be authorized already, which its provider
// knows, and GetPayment shows where it was answered. A void of an order that has no payment leaves a
// tombstone that refuses a late Authorize. Statuses that the public API names for providers with
// redirects (requires_action) do not occur with the sandbox. Cash on delivery goes to no provider.
//
// # Tables
//
//   - payment: one row an order. Amounts are minor units. order_id is unique. asked_at is the reconciler's queue: set while
//     the end is open.
//   - refund: one row a refund; payment_id, idem_key unique. state requested, done, refused.
//   - webhook_inbox: provider's events, once each, for 30 days; a provider sends one again for some days at most. A
//     webhook holds one or several. Those that tell nothing new, as most do, are noted without waiting for the disk.
//   - outbox, inbox: see pkg/outbox.
//   - schema sandbox: the books of the embedded provider (charge, refund, ledger_entry, call, webhook).
//     sandbox.charge.key is payment.id; nothing in the service joins the two, Verify does. A webhook is deleted when it
//     has arrived, after 30 days when it was given up; so are calls.
//
// # Failpoints
//
// Failpoints lists them; each stands between two writes.
package payment

// Package order is the order service: orders, their parts by shop, and the checkout.
//
// It owns orders, shop orders and their lines as they were when they were placed, and the sagas checkout,
// cancel and collect. It does not own stock (product), money (payment), carts (cart) or who is a member of
// a shop (shop); it calls them with the order's ID as the key, so that every call may come twice.
//
// # Contract
//
// souk.order.v1.OrderService: Checkout, GetOrder, ListOrders, CancelOrder for customers and guests;
// ListShopOrders, ShipShopOrder, DeliverShopOrder for members of the shop and operators; GetOrderForNotice
// for the notification service. Somebody else's order is not_found.
//
// # Events
//
// Out: evt.order.created, confirmed, shipped, delivered, cancelled; the aggregate is the order.
// In: evt.payment.completed, failed, refunded, which move the payment's status that an order shows.
//
// # Checkout
//
//	create → reserve → authorize → confirm (pivot) → clear_cart → capture → commit → clear_cart_later
//
// The order's rows, its event and its saga are written in one round trip before anything else happens. The
// request waits for the pivot. Before it, a refusal takes back what was done (stock released, payment
// voided, order cancelled with the error's code); after it the saga only goes forward. A refused checkout
// answers its retries with the same refusal. One that was given up for a fault of ours (a service did not
// answer until the deadline) frees its idempotency key, so that a retry tries again.
//
// Idempotency keys are unique a customer, for ever; the request's hash covers address, payment, vouchers
// and email, not the cart. Stock and currency are looked at before anything is written; what that refuses
// leaves no order behind.
//
// # States
//
//	pending → confirmed → shipped → delivered
//	pending, confirmed → cancelled
//
// Parts move each on their own; an order is as far as the part behind all others. A part can be shipped
// once the money is captured, which is a moment after the checkout (until then ship answers conflict with Retry-After), or
// when it is collected at the door: cash on delivery is captured when the last part is delivered. Cancelling
// marks the order under the same lock as shipping, so one of them wins, then waits for the rest of the
// checkout, gives money and stock back and ends as cancelled with the payment voided or refunded. Refused checkouts
// can be read by ID, but are in no list. The status refunded of the public API comes with returns.
//
// # Tables
//
//   - orders: one row a checkout. Amounts are minor units of currency; confirmed_at is null unless it ever was an order.
//   - shop_order: one row a shop in an order; (order_id, position).
//   - order_item: one row a line; (order_id, position), shop_order_id.
//   - saga, saga_story: see pkg/saga; the ID of a checkout is the order's. outbox, inbox: see pkg/outbox.
//
// # Failpoints
//
// Those of the sagas ("checkout.before_reserve" …): Failpoints lists them.
package order

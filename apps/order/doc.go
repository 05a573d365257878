// Package order is the order service: orders, their shop orders, and the checkout.
//
// It owns orders, shop orders and their lines as they were placed, and the sagas checkout, cancel and collect.
// It does not own stock (product), money (payment), carts (cart), vouchers (voucher) or shop memberships (shop). It
// calls those services with the order's ID as the key, so that a call may be repeated.
//
// # At a glance
//
//   - Owns: orders and their shop orders, the checkout saga
//   - PostgreSQL: orders, shop_order, order_item, cart_claim, guest_cancel, sale_counted, sales_day, saga(_step),
//     outbox, inbox
//   - Redis: –
//   - Consumes: evt.order.*, evt.payment.*
//   - Publishes: evt.order.*
//
// # Contract
//
// souk.order.v1.OrderService: QuoteCart, Checkout, GetOrder, ListOrders, CancelOrder for customers and guests;
// ListShopOrders, GetShopOrder, GetShopSales, ShipShopOrder, DeliverShopOrder, CancelShopOrder for members of the shop
// and operators; CancelOrderAsOperator for operators; GetOrderForNotice for the notification service, FindPurchase for
// the comment service. Another customer's order is not_found.
//
// # Events
//
// Published: evt.order.created, confirmed, shipped, delivered, cancelled. The aggregate is the order. Shipped and
// delivered name a shop order; cancelled names those that one cancellation cancelled.
// Consumed: evt.payment.completed, failed, refunded. They update the payment status that an order shows.
// evt.order.confirmed, cancelled: they count what shops sold.
//
// # Checkout
//
//	create → reserve → redeem → authorize → confirm (pivot) → clear_cart → capture → commit → clear_cart_later
//
// The order's rows, its event and its saga are written in one round trip before any step runs. The request
// waits for the pivot. A refusal before the pivot compensates the saga: stock and vouchers are released, the payment is
// voided, and the order is cancelled with the error's code. After the pivot the saga only goes forward. A retry
// of a refused checkout gets the same refusal. A checkout that fails through a fault of ours (a service did not
// answer before the deadline) frees its idempotency key, so that a retry runs a new checkout.
//
// An order claims its cart (cart_claim), in the transaction that writes it: a second checkout of the cart is refused
// with checkout_in_progress. A refusal gives the claim back, in the transaction that cancels the order. A confirmed
// order keeps it; the next checkout takes it over if the cart says that the order's items have left it. So no lease
// expires, and a claim ends with its saga, in whichever process that runs. The cart of a user is claimed under the IDs
// of the guests that were merged into it as well, because a guest's checkout may be in flight at the sign-in.
//
// An idempotency key is unique per customer. An order keeps its key for ever, a refusal for forget_refused_after. The
// request hash covers the address or the addressId, payment, vouchers, e-mail and expectedTotal, but not the cart.
// Stock and currency are checked before anything is written; a checkout that fails these checks leaves no order.
//
// # Discounts
//
// The voucher service says what the codes of a request take off each line and each shipping. A quote and a checkout ask
// it in the same way, so an order costs what the quote said, or is refused: by expectedTotal (price_changed), or
// because a code can no longer be used (voucher_invalid). The order keeps each discount with its line. A shop order's
// total is after its discounts, so its cancellation pays back exactly what was paid for it. If vouchers pay for all of
// an order, it has no payment: its status is captured. Checkouts without codes do not call the voucher service.
//
// # States
//
//	pending → confirmed → shipped → delivered
//	pending, confirmed → cancelled
//
// Shop orders change state independently. An order has the state of its least advanced shop order, without the
// cancelled ones; it is cancelled when all of them are. A shop order can be shipped once the payment is captured, a
// moment after the checkout; until then ShipShopOrder returns conflict with Retry-After. Cash on delivery is the
// exception: it is captured when the last shop order is delivered or cancelled. Refused checkouts can be read by ID
// until they are deleted, but no list contains them. The public API's status refunded is reserved for returns.
//
// # Cancellation
//
//	begin → await_checkout → accept (pivot) → pay_back → restock → finish → collect
//
// The customer cancels what was not shipped, a shop its own shop order, an operator either. A cancellation marks its
// shop orders under the same lock as shipping, so exactly one of the two succeeds. It then waits for the checkout's
// saga to end, returns their share of the money and their lines of the stock, and leaves them cancelled. Cash that was
// not collected is waived. Several cancellations of one order may overlap: each has its own shop orders, and the
// payment and the reservation add up what was returned. If the others are delivered by then, collect captures their
// cash.
//
// # Sales
//
// The projection sales shows what a shop sold on each day. It follows order's own events instead of changing with the
// order: the row of a shop's day would make the checkouts of the shop wait for each other. An event says only that
// there is something to count. What counts, and on which day, is in the order's rows, so events may come in any order
// and again. A shop order counts once as sold and once as cancelled, because sale_counted has one row for each.
//
// # Limits
//
// Cash on delivery is for signed-in customers, with bounds on pieces, on the total, and on a customer's orders that are
// not delivered. What is not shipped of an order that waits too long for its money is cancelled. A customer who
// cancelled several orders in the last 24 hours waits with the next checkout, longer each time; guests count by their
// mailbox, too. The limits are system settings: see section order of the configuration, and docs/settings.md.
//
// # Tables
//
//   - orders: one row per checkout. Amounts are minor units of currency. confirmed_at is null if the checkout
//     was never confirmed. expires_at is null unless the order waits for its money.
//   - shop_order: one row per shop of an order; (order_id, position). cancel_id names the saga that cancels it.
//   - order_item: one row per line; (order_id, position), shop_order_id. discounts are what vouchers took off it.
//   - cart_claim: one row per owner of a cart that was ordered: the last order of it.
//   - guest_cancel: the orders that guests cancelled in the last 24 hours, by a digest of the mailbox.
//   - sale_counted: what the sales by day have counted; (shop_order_id, cancelled).
//   - sales_day: what a shop sold on a day in a currency; (shop_id, day, currency). The view sale is what adds to it.
//   - saga, saga_story: see pkg/saga. A checkout's saga has the ID of its order. outbox, inbox: see pkg/outbox.
//
// # Failpoints
//
// The sagas' failpoints ("checkout.before_reserve" …). Failpoints lists them.
package order

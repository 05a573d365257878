// Package voucher is the voucher service: what takes something off the price of an order.
//
// It owns the vouchers of shops and of the marketplace, and counts their uses. It does not own prices, carts or orders:
// the order service asks what vouchers take off a cart, redeems them in its checkout, and keeps what they took off with
// the order.
//
// # At a glance
//
//   - Owns: vouchers, their limits and uses
//   - PostgreSQL: voucher, voucher_customer, redemption, redemption_voucher, outbox, inbox
//   - Redis: –
//   - Consumes: evt.order.cancelled
//   - Publishes: evt.voucher.*
//
// # Contract
//
// souk.voucher.v1.VoucherService: members of a shop manage its vouchers, and operators those of the whole marketplace
// and of any shop. EvaluateVouchers, RedeemVouchers, ReleaseVouchers and AdoptVoucherUses are for order.
//
// # What vouchers take off
//
// Kinds: percent, fixed_amount, buy_x_get_y (the cheapest pieces are free) and free_shipping. A voucher is for what its
// shop sells, or for everything if it is of the marketplace; conditions narrow that down to products and categories.
// The smallest subtotal that it needs is that of these lines, before discounts.
//
// Several vouchers are applied one after the other, each to what the ones before have left: buy_x_get_y, percent,
// fixed_amount, free_shipping; of one kind, those of shops before those of the marketplace; otherwise the older ones
// first. The order of the codes decides only which of two vouchers is rejected that don't combine: an exclusive one
// (not stackable) does not combine with another one of its shop, and one of the marketplace with none at all. A
// discount is divided over its lines by the largest remainder (money.Split), so that the parts of an order add up
// exactly.
//
// The shop bears the cost of its vouchers, and the operator that of the marketplace's. Operators may set another share;
// it is recorded with each discount.
//
// A code is unique in its shop. If several shops of a cart have vouchers with one code, the code stands for all of
// them.
//
// # Limits
//
// Uses, uses of one customer and a budget. Each counter is moved by a statement that has the limit as its condition, in
// the transaction of the redemption, so concurrent checkouts never exceed a limit. A discount that does not fit into
// the rest of the budget is not given in part. Guests count by their mailbox, too; a guest's uses become those of the
// user at the sign-in. A voucher for first orders is used once by a customer, and by a mailbox once in a shop.
//
// A redemption is a step of the checkout: before the payment, so that no customer pays a price that a voucher does not
// give. A refused checkout releases it, as does the cancellation of a whole order. A release that comes first leaves a
// row that refuses a late redemption.
//
// # States
//
//	draft ⇄ active ⇄ disabled
//
// A voucher is expired once its end has passed; no job has to notice. A draft is unknown to customers.
//
// # Tables
//
//   - voucher: one row per voucher. Amounts are minor units. used and spent are its counters.
//   - voucher_customer: how many orders of a customer, or of a mailbox, use a voucher.
//   - redemption: one row per order that used vouchers; redemption_voucher: what each took off. Released ones are
//     deleted after forget_released_after.
//   - outbox, inbox: see pkg/outbox.
//
// # Failpoints
//
// Failpoints lists them; each is between two writes, or between a commit and its answer.
package voucher

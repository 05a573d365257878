// Package cart is the cart service: what a customer is about to buy.
//
// It owns the variants and quantities in each customer's cart. It does not own prices, titles or stock: the product
// service does, and the cart reads them when it is shown. The price of an order is determined at checkout.
//
// # At a glance
//
//   - Owns: carts
//   - PostgreSQL: cart (written back within seconds), outbox
//   - Redis: carts: Redis answers
//   - Consumes: –
//   - Publishes: evt.cart.abandoned
//
// # Contract
//
// souk.cart.v1.CartService: GetCart, AddItem, UpdateItem, RemoveItem and ClearCart for customers and guests,
// each on their own cart; GetLines and RemoveOrdered for order; MergeCart for auth; GetCartForNotice for notification.
//
// # Abandoned carts
//
// A user's cart with items that was not changed for cart.abandoned_after is abandoned: evt.cart.abandoned is published,
// with the version of the cart. The row keeps the version that was published, in the transaction of the event, so that
// each version is published once, whichever processes look for it. Only carts that reached that age within the last
// three days count. Redis is asked whether a cart has changed since its backup. It may still change before a consumer
// acts: GetCartForNotice finds a cart only at the given version.
//
// # Storage
//
// Redis serves the carts and PostgreSQL backs them up. A cart is a hash in Redis, "cart:{owner}". Every change is
// one Lua script: it is atomic, takes one round trip, and returns the cart after the change. A change marks the
// cart as dirty. Write-backs, shared by all cart processes, save dirty carts to PostgreSQL two seconds later, or
// immediately at a shutdown. A loss of Redis therefore loses less than the last five seconds of changes. A cart
// that is missing in Redis is restored from PostgreSQL. An empty cart has a row too, so that a cart that was
// emptied stays empty. Each change increases the cart's version (microseconds since 1970, at least one more than
// before), so an old write-back never replaces a newer one, even after a loss. On a Redis Cluster, carts are divided by
// owner into partitions, whose keys share a hash slot (docs/adr/0020-carts-on-a-redis-cluster.md).
//
// RemoveOrdered keeps the last orders that it handled next to the cart, in the same script and the same row, so that it
// removes an order's items only once. MergeCart takes the lines out of the guest's cart and keeps them beside it, adds
// them to the user's cart, and forgets them: three scripts, since the carts may be in different slots. If the process
// dies in between, whatever touches the merge next takes the remaining steps, at the latest the write-back of the
// guest's cart. Then it writes both carts back, in one transaction. Each of the two carts keeps the other's owner and
// the version of the merge: items that a guest ordered before the merge leave the user's cart, and GetLines names the
// guests to a checkout, which claims the cart under their IDs too.
//
// While Redis is unavailable, all calls fail with unavailable. The service reconnects by itself.
//
// # Offers
//
// The process keeps offers of the product service for half a second. It drops an offer as soon as the product's
// tag in Redis shows a change. A new price or a sold-out variant is therefore shown at once, while the number of
// available pieces may be half a second old. A line is shown as unavailable and not counted in the subtotal if its
// variant is gone, is not for sale, or has another currency than the cart.
//
// # Tables
//
// cart: one row per owner, as of its last write-back.
package cart

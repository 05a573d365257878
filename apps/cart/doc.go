// Package cart is the cart service: what a customer is about to buy.
//
// It owns which variants are in whose cart, and how many. It does not own prices, titles or stock: they are
// the product service's, and read when a cart is shown. What an order costs is decided at checkout.
//
// # Contract
//
// souk.cart.v1.CartService: GetCart, AddItem, UpdateItem, RemoveItem and ClearCart for customers and guests,
// each on their own cart; GetLines and RemoveOrdered for order; MergeCart for auth. No events.
//
// # Redis answers, PostgreSQL remembers
//
// A cart is a hash in Redis, "cart:{owner}", and every change is one Lua script: one round trip, atomic,
// and the answer is the cart as it is now. A change marks the cart as dirty; write-backs, shared by all
// cart processes, bring dirty carts to PostgreSQL two seconds later, and at a shutdown at once, so a lost Redis takes
// less than the last five seconds with it. A key that is not in Redis is looked for in PostgreSQL; an empty
// cart is a row too, and is not resurrected. Each change gives a cart a higher version (microseconds, at
// least one more than before): an old write-back never replaces a newer one, also after a loss.
//
// RemoveOrdered keeps the last orders that it took out beside the cart, in the same script and the same row, so
// that an order is taken out once. MergeCart writes both carts in one transaction at once.
//
// While Redis is away all calls fail with unavailable, and it is found again without help.
//
// # What is shown
//
// Offers of the product service are kept in the process for half a second, and dropped as soon as
// product says (by its tags in Redis) that a product changed. So a changed price or a variant that sold out is shown at
// once, while the number of pieces left may be half a second old. A line whose variant is gone, is not
// for sale or has another currency than the cart is shown as not available and is not part of the subtotal.
//
// # Tables
//
// cart: one row an owner, as of its last write-back.
package cart

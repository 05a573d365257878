// Package product owns what shops sell: products with their variants and categories, the stock of each
// variant, and the search over all of it.
//
// It does not own shops (a local copy of their names and status comes with events), carts, orders or
// prices that were agreed on: an order keeps what it was placed for.
//
// # Calls
//
// souk.product.v1.ProductService. Anybody lists, searches and reads active products. Members of a shop
// (the shop service knows who that is) and operators write; for everybody else, other people's products
// do not exist. Order alone moves stock: ReserveInventory, ReleaseInventory, CommitInventory,
// RestockInventory.
//
// # Events
//
// Out: evt.product.created, .updated, .deleted; evt.inventory.reserved, .released (asked for, expired,
// restocked), .low (once each time that a variant's available pieces fall to the threshold).
// In: evt.shop.registered, .updated, .verified, .suspended.
//
// # Tables
//
// category, product, variant, shop_ref; stock, reservation, reservation_line; listing, the read model.
//
// # Stock
//
// A reservation is named by its order and moves: held, then released, expired or committed, then perhaps
// restocked. A release that comes before its reservation leaves a tombstone, which refuses it.
// Orders that come at the same time share a transaction: their stock is locked in the order of its keys,
// decided over in memory (domain.Ledger), and written in one round trip, so that a hot variant's row is
// written once for all of them. That stock is never oversold is also a check of the table.
//
// One such transaction runs at a time, and it passes by rows that are locked (by an import that sets their
// stock, by another process): orders for these go on in transactions that wait, and all others do not notice.
//
// A commit that comes after the reservation has expired takes the pieces anew; when they are gone it
// fails with out_of_stock, for which the checkout, past its pivot by then, is parked: an operator adds stock and
// resumes it.
//
// Reservations that came to nothing are deleted after keep_reservations. Those of sales stay, for an order
// may be cancelled, and its pieces restocked, any time before it is shipped.
//
// # Search
//
// listing has one row a product, with its terms (domain.Terms), filters, and the answer ready to send. It is
// written in the transaction of what changes it: the product, or its stock when a variant sells out or
// comes back; so whoever writes reads it at once, and listing can be rebuilt at any time. What became of
// a shop counts for reservations at once, and reaches its listings, which may be thousands, a hundred at a
// time, right after the event's transaction.
// Products are found by the rarer words of a query (what is rare, the database's own statistics tell),
// in several forms; ranked by the weight of what they have of the query; and looked for by similarity
// of the title when there are none.
//
// # Caches
//
// Single products are cached in Redis, and searches in the process for two seconds, both dropped as
// soon as a change is committed. When Redis cannot be told, a product is out of date for cache_ttl.
package product

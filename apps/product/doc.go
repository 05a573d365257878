// Package product owns what shops sell: products with their variants and categories, the stock of each
// variant, and the search over them.
//
// It does not own shops (it keeps a copy of their names and status, fed by events), carts, orders or agreed
// prices: an order keeps what it was placed for.
//
// # At a glance
//
//   - Owns: products, variants, categories, stock, search
//   - PostgreSQL: category, product, variant, stock, stock_adjustment, reservation(_line), listing, rating, shop_ref,
//     outbox, inbox
//   - Redis: product cache, tags
//   - Consumes: evt.shop.*, evt.review.*
//   - Publishes: evt.product.*, evt.inventory.*
//
// # Calls
//
// souk.product.v1.ProductService. Anyone may list, search and read active products. Members of a shop (the
// shop service knows them) and operators write; other callers get not_found. Only order moves stock:
// ReserveInventory, ReleaseInventory, CommitInventory, RestockInventory.
//
// # Events
//
// Published: evt.product.created, .updated, .deleted; evt.inventory.reserved, .released (on request, by expiry
// or by a restock), .low (each time a variant's available pieces fall to the threshold).
// Consumed: evt.shop.registered, .updated, .verified, .suspended; evt.review.rating_changed.
//
// # Tables
//
// category, product, variant, shop_ref, rating; stock, stock_adjustment, reservation, reservation_line; listing, the
// read model.
//
// # Stock
//
// A reservation is named by its order. It is held, then released, expired or committed; a committed one may be
// restocked. A release that arrives before its reservation leaves a tombstone, which refuses the reservation.
//
// Concurrent orders are batched: one transaction locks their stock in the order of its keys, decides in memory
// (domain.Ledger) and writes in one round trip, so that a hot variant's row is written once per batch. A check
// constraint of the table also ensures that stock is never oversold.
//
// One such transaction runs at a time. It skips rows that are locked by an import that sets their stock or by
// another process. Orders for these rows run in transactions that wait, and do not delay the others.
//
// A commit after the reservation has expired reserves the pieces again. If they are gone, it fails with
// out_of_stock. The checkout is past its pivot by then, so it is parked: an operator adds stock and resumes it.
//
// Released and restocked reservations and tombstones are deleted after keep_reservations. Those of sales stay,
// because an order may be cancelled, and its pieces restocked, at any time before it is shipped.
//
// # Search
//
// listing has one row per product, with its terms (domain.Terms), its filters, and the answer ready to send. A
// row is written in the transaction of the change: of the product, or of its stock when a variant sells out or
// comes back. So a seller reads its own writes, and listing can be rebuilt at any time. A change of a shop
// applies to reservations at once. Its listings, which may be thousands, are refreshed a hundred at a time
// right after the event's transaction.
//
// A shop sells if an operator has verified it, or if it is unverified and unverified_shops_sell is set. The products of
// other shops are neither found nor sold; their members see and prepare them.
//
// Products are found by the rarer words of a query, in several forms; the database's statistics say which words
// are rare. Words are compared in the singular (domain.singular). A product's score is the sum of the weights of the
// query's words, each multiplied by PostgreSQL's ts_rank, which grows with the number of occurrences, and divided by a
// number that grows a little with the number of the product's terms. If no product is found, those with titles similar
// to the query are.
//
// What the reviews of a product add up to is the comment service's. Its events have the numbers and a version, and are
// stored in rating and in the listing, in their own transaction: filters, facets and the order by rating see them.
//
// # Caches
//
// Single products are cached in Redis, and searches in the process for two seconds. Both are dropped as soon as a
// change is committed; after a new rating, only the product is. If Redis cannot be reached then, a product is out of
// date for up to cache_ttl.
package product

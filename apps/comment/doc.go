// Package comment is the comment service. It owns the reviews of products: their content, votes, reports and
// moderation, the shops' replies, and what the reviews of a product add up to.
//
// It does not own orders (it asks the order service who has bought a product), names of customers (it asks the user
// service), members of shops (it asks the shop service), or pictures. The rating in the catalogue is product's copy.
//
// # At a glance
//
//   - Owns: reviews, votes, ratings of products
//   - PostgreSQL: documents reviews, votes, ratings; outbox, inbox
//   - Redis: –
//   - Consumes: evt.review.*
//   - Publishes: evt.review.*
//
// # Calls
//
// souk.comment.v1.CommentService. Anyone reads published reviews. A customer posts one review of each product that a
// confirmed order of theirs has, changes and deletes it. Others vote for it and report it, each once. Members of the
// shop that sold the product, and operators, reply to it. Operators publish and reject.
//
// # Who has bought it
//
// The order service answers that at each post (FindPurchase). A copy fed by its events would need three more things to
// be right: the products in the events, the guests' orders that users adopt, and the orders from before the copy. The
// price is that no customer can post while the order service is away. A cancelled part of an order does not count, but
// a review that was posted stays as it is.
//
// # A review
//
// It is published, or held if the operator's rules (system settings) suspect it: a web address, a text that its author
// has used for another product, a word of a list, many reports. An operator then publishes or rejects it. A change of
// its words applies the rules again; only an operator ends a hold. A rejected review is held after a change. Reports do
// not hold what an operator has published.
//
// There is one document for each customer and product, which a unique index ensures. To delete a review deletes what
// it says; the document stays, so that a rejected review is held when it is posted again.
//
// # Events
//
// Published: evt.review.posted, .edited, .moderated, .replied, .deleted about a review; evt.review.voted about a vote;
// evt.review.rating_changed about a product, with its new average and count. Its version is the rating's revision.
// Consumed: all but that and .replied, to count.
//
// # Documents
//
// reviews, votes and ratings, which holds a product's numbers of stars. A write changes one document. What concerns
// two is done by a consumer of the first one's event, in a way that may be repeated: see Rating for stars, vote for
// votes. The projection ratings computes both again: see docs/operations.md.
//
// # Failpoints
//
// Failpoints lists them; each is between two writes.
package comment

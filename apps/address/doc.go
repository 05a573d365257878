// Package address is the address service. It owns the address books of users, and knows what addresses of each country
// look like.
//
// RPCs: proto/souk/address/v1/address.proto. A book has at most 50 addresses, and one default each for shipping and
// billing; the database keeps both. Orders copy the address that they go to. No event is published: addresses are
// personal data, and no other service keeps them.
//
// # At a glance
//
//   - Owns: address books of users, formats of addresses
//   - PostgreSQL: address_book, address
//   - Redis: –
//   - Consumes: evt.user.erased
//   - Publishes: –
package address

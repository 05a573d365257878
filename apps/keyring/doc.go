// Package keyring is the keyring service. It owns the keys under which other services encrypt personal data: one for
// each person and service. To destroy a person's keys makes the data unreadable everywhere, also in backups.
//
// RPCs: proto/souk/keyring/v1/keyring.proto.
//
// The keys are stored encrypted (wrapped) under keyring.key, which is not in the database. So a copy of the database
// gives no data, nor does a copy of the other databases without this one. See docs/security.md and package
// souk/pkg/personal.
//
// # At a glance
//
//   - Owns: keys of personal data
//   - PostgreSQL: data_key, merged, erased, inbox
//   - Redis: –
//   - Consumes: evt.user.erased, evt.order.guest_erased
//   - Publishes: –
package keyring

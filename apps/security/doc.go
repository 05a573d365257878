// Package security is the security service. It counts what looks like an attack, and owns the security events that its
// detectors find in the counts.
//
// RPCs: proto/souk/security/v1/security.proto.
//
// # At a glance
//
//   - Owns: security events, the counts and sightings that they come from
//   - PostgreSQL: event, tally, total, report, sighting, outbox, inbox
//   - Redis: –
//   - Consumes: evt.order.confirmed, evt.order.cancelled, evt.payment.refunded, evt.inventory.released
//   - Publishes: evt.security.*
//
// # From a request to a security event
//
// Gateways add up what they refuse, by kind and subject, and report the sums every few seconds (ReportObservations).
// Cancellations, refunds, cash on delivery and reservations that nobody paid for are counted from events of other
// services. A chore looks at the counts every ten seconds: see package domain for the three detectors. What they find
// about a subject is one security event until an hour passes without.
//
// # What is counted once
//
// A report has an ID, which is kept for longer than a report may be old. An event is counted in the transaction of its
// inbox row. A security event, its row in the outbox, and the counts that led to it are in one database, so a process
// may die anywhere.
//
// # What an attacker can make us keep
//
// A gateway reports at most 1,000 subjects at a time, and a minute has at most about 1,000 subjects of a kind with counts
// of their own; the others share one. Counts of subjects are kept for their kind's window and an hour, those of the
// marketplace for 15 days, sightings for a day. At most 50 security events of a kind begin in an hour.
//
// # Tables
//
//   - tally, total: counts by minute and subject, and by ten minutes for the whole marketplace
//   - report: IDs of reports
//   - sighting: the country from which a user sent the latest request, if gateway.country_header is set
//   - event: the security events, kept for security.retain
//   - outbox, inbox: see pkg/outbox
package security

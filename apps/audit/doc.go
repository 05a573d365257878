// Package audit is the audit service. It owns the audit trail: who did what to which object, from where, when, with
// which result.
//
// RPCs: proto/souk/audit/v1/audit.proto.
//
// The other services write the entries as events, in the transactions of the changes (package souk/pkg/audit). This
// service chains them: each entry has a hash of itself and of the entry before. It signs the state of the chain every
// few seconds, and checks the whole chain twice a minute. What is changed, removed or cut off is found then.
//
// # At a glance
//
//   - Owns: entries, checkpoints
//   - PostgreSQL: entry, chain, checkpoint, outbox, inbox
//   - Redis: –
//   - Consumes: evt.audit.recorded.*
//   - Publishes: evt.audit.*
package audit

// Package natsauth is the natsauth service: who may do what on NATS.
//
// It answers the NATS server's questions about connections (auth callout), and creates the streams of events and the
// durable consumers of all services. It does not own the rules: they follow from contracts and from the registry of
// services, and pkg/natsauth derives them.
//
// # At a glance
//
//   - Owns: permissions of connections, streams, durable consumers
//   - PostgreSQL: –
//   - Redis: –
//   - Consumes: –
//   - Publishes: –
//   - Speaks: NATS auth callout
//
// # Connections
//
// A process connects to NATS with a token that each of its services has signed with its own key, and may then do what
// these services may. The commands of operators connect under a name of their own. "souk services --permissions" prints
// what each may do. Questions and answers are encrypted (xkey), and users are signed by an account key that only this
// service has. The service itself connects with a password. All of these keys are derived from natsauth.secret, or else
// from identity.seed; "souk natsauth" prints the server's part of its configuration.
//
// A connection lasts until it breaks: a key that is no longer trusted is refused at the next one. Several processes may
// answer. While none does, new connections wait, and those that exist work on.
//
// If the servers require the same credentials of all processes (nats.user, nats.credentials), there are no questions,
// and the servers decide what is allowed.
//
// # Streams and consumers
//
// No other process may create, change or delete a stream or a durable consumer. What is missing is created within a
// second, for example after JetStream has lost its files. A new release starts this service first, because it has the
// consumers that the others need.
package natsauth

// Package settings is the settings service. It owns the values of the system settings that operators change while souk
// runs, the feature flags, and the settings of users.
//
// RPCs: proto/souk/settings/v1/settings.proto. Which system settings there are, and which values they take, is declared
// in pkg/setting. How flags are decided is in pkg/flag. Every process has both in memory: see the package comment of
// pkg/setting.
//
// # At a glance
//
//   - Owns: system settings, feature flags, settings of users, approvals of operators' calls
//   - PostgreSQL: documents settings, configured, flags, user_settings, approvals, outbox
//   - Redis: –
//   - Consumes: –
//   - Publishes: evt.settings.*, evt.flag.*
//
// # Versions
//
// A change of a system setting names the version that it is made to, so of two concurrent changes one is refused. Each
// version has its author and time. The last 100 are kept. Rolling back makes a new version with the old value. Flags
// have versions and their last author, but no history.
//
// # Defaults
//
// A setting that no operator has set has the value of its service's configuration. A service sends them when its
// process starts, so that operators and clients see the value that applies.
//
// # Approvals
//
// A call with a permission of the setting access.second_operator needs another person's approval. The gateway claims it
// before the call and settles it afterwards. The approval's ID is a hash of caller, method and request, so it is for
// this call alone. A claim lapses if the gateway does not report its end: an idempotent call may then be repeated,
// another one needs another approval, because it may have taken effect. An approval lasts 24 hours from the first
// attempt.
//
// # What users set
//
// The settings of a user are how clients show souk to that user. Language, currency, time zone and consent to mails are
// preferences of the profile, which the user service owns.
package settings

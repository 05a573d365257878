// Package secrets reads the secrets of a process: passwords, keys and tokens.
//
// A [Value] of the configuration is the secret itself, or a reference to where it is:
//
//	file:/run/secrets/auth_key             the content of a file, without line ends at its end
//	env:AUTH_KEY                           a variable of the environment
//	vault:secret/data/souk/auth#key        a key of what Vault has at a path, see [VaultConfig]
//	plain:file:x                           the secret "file:x": only for one that looks like a reference
//
// A reference is resolved when the configuration is decoded, and what it leads to may change afterwards: [Value.Get]
// returns what it is now. A file that has changed is read within two seconds. Values of Vault are read again every
// [VaultConfig.Refresh], and those with a lease before it ends. If that fails, the last value stays, with a warning.
//
// A Value shows itself as [Redacted] wherever it is printed, logged or encoded.
package secrets

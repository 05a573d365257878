// Package config reads souk's settings from one YAML file and the environment.
//
// Settings form a tree of sections. A section is a struct of the package that it configures. The
// caller fills it with defaults, and [Tree.Decode] overwrites what the user has set:
//
//	cfg := redisx.Default()
//	err := tree.Decode("redis", &cfg)
//
// Sources, in increasing order of precedence: the struct's defaults, [Tree.WithDefaults], the
// file, the environment, [Tree.WithOverrides] (command-line flags).
//
// A field `yaml:"max_conns"` of the section "postgres" is set by SOUK_POSTGRES_MAX_CONNS; nested
// structs add their name: SOUK_TELEMETRY_BATCH_DELAY. Durations are written "5s", lists with
// commas, maps as "key=value,key=value". A list of structs can only be set in the file.
//
// A field of the type secrets.Value holds a secret or a reference to one, which [Tree.Decode] resolves: see package
// secrets. Messages name such a setting and its reference, never its value.
//
// A key or a SOUK_ variable that nothing reads is an error, so that a misspelt setting never goes
// unnoticed. The error gives the key, its place and the most similar known key. All mistakes of a
// section are reported at once.
package config

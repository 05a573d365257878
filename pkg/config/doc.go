// Package config reads souk's settings from one YAML file and the environment.
//
// Settings form a tree of sections. A section is a struct of the package that it configures; it
// is handed to [Tree.Decode] filled with its defaults, and comes back with what the user said:
//
//	cfg := redisx.Default()
//	err := tree.Decode("redis", &cfg)
//
// What counts, the last wins: the struct's defaults, [Tree.WithDefaults], the file, the
// environment, [Tree.WithOverrides] (command-line flags).
//
// A field `yaml:"max_conns"` of the section "postgres" is set by SOUK_POSTGRES_MAX_CONNS; nested
// structs add their name: SOUK_TELEMETRY_BATCH_DELAY. Durations are written "5s", lists with
// commas, maps as "key=value,key=value". A list of structs can only stand in the file.
//
// A key or a SOUK_ variable that nothing reads is an error that names it, tells where it stands
// and what was probably meant: a misspelt setting never goes unnoticed. All mistakes of a section
// are told at once.
package config

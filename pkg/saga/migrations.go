package saga

import (
	"embed"

	"souk/pkg/migration"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations returns the migrations of the saga tables. They run before those of the service that owns the database.
func Migrations() migration.Set { return migration.Set{Name: "saga", FS: migrations} }

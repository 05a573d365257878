package saga

import (
	"embed"

	"souk/pkg/migration"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations returns the tables of sagas. They come before the migrations of the service that owns the database.
func Migrations() migration.Set { return migration.Set{Name: "saga", FS: migrations} }

// Package db holds the shop service's migrations.
package db

import "embed"

// Migrations are the service's own SQL migrations.
//
//go:embed migrations/*.sql
var Migrations embed.FS

package migration_test

import (
	"context"
	"fmt"
	"testing/fstest"

	"souk/pkg/migration"
)

func ExampleUp() {
	files := fstest.MapFS{ // usually an embed.FS
		"000001_shop.up.sql":   {Data: []byte(`create table shop (id uuid primary key);`)},
		"000001_shop.down.sql": {Data: []byte(`drop table shop;`)},
	}
	err := migration.Up(context.Background(), "no such database", "shop", files)
	fmt.Println(err != nil)
	// Output: true
}

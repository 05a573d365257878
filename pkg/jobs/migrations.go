package jobs

import (
	"bytes"
	"io/fs"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"souk/pkg/migration"
)

// Migrations returns River's migrations. Run them before those of a service that uses jobs.
func Migrations() migration.Set {
	return migration.Set{Name: "river", FS: rendered{riverpgxv5.New(nil).GetMigrationFS(riverdriver.MigrationLineMain)}}
}

// rendered is River's migrations without the placeholder for the schema's name, which also occurs in string literals.
type rendered struct{ fs.FS }

// Open opens a file, without the placeholder, or a folder.
func (r rendered) Open(name string) (fs.File, error) {
	f, err := r.FS.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil || info.IsDir() {
		return f, err
	}
	body, err := fs.ReadFile(r.FS, name)
	if err != nil {
		return nil, err
	}
	return &file{File: f, Reader: bytes.NewReader(bytes.ReplaceAll(body, []byte("/* TEMPLATE: schema */"), nil))}, nil
}

type file struct {
	fs.File
	*bytes.Reader
}

// Read reads the rendered content.
func (f *file) Read(p []byte) (int, error) { return f.Reader.Read(p) }

package jobs

import (
	"bytes"
	"io/fs"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"souk/pkg/migration"
)

// Migrations returns River's tables. They come before the migrations of a service that uses jobs.
func Migrations() migration.Set {
	return migration.Set{Name: "river", FS: rendered{riverpgxv5.New(nil).GetMigrationFS(riverdriver.MigrationLineMain)}}
}

// rendered is River's migrations with the place for a schema's name, which stands even in texts, taken out.
type rendered struct{ fs.FS }

// Open opens a file or folder.
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

// Read reads what was rendered.
func (f *file) Read(p []byte) (int, error) { return f.Reader.Read(p) }

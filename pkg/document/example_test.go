package document_test

import (
	"slices"
	"testing"
)

// example is a testing.TB for an example. Its method done runs the registered cleanups.
type example struct {
	testing.TB
	cleanup []func()
}

func (e *example) Helper()               {}
func (e *example) Name() string          { return "example" }
func (e *example) Cleanup(f func())      { e.cleanup = append(e.cleanup, f) }
func (e *example) Logf(string, ...any)   {}
func (e *example) Errorf(string, ...any) { panic("example") }
func (e *example) FailNow()              { panic("example") }

func (e *example) done() {
	for _, f := range slices.Backward(e.cleanup) {
		f()
	}
}

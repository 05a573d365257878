//go:build documents

// Package repository stores gadgets as documents.
package repository

import (
	"context"

	"souk/pkg/document"
)

// Store stores gadgets as documents.
type Store struct {
	wake func() // wakes the relay after new events
	// servicegen:each
	gadgets *document.Collection[gadgetDocument]
	// servicegen:end
}

// New opens the collections and creates what is missing of them.
//
// Errors: those of document.Collection.Ensure.
func New(
	ctx context.Context, documents *document.Store, wake func(),
) (*Store, error) {
	s := &Store{wake: wake}
	var err error
	// servicegen:each
	if s.gadgets, err = openGadgets(ctx, documents); err != nil {
		return nil, err
	}
	// servicegen:end
	return s, nil
}

// written wakes the relay if a write has not failed, and returns the write's error.
func (s *Store) written(err error) error {
	if err == nil {
		s.wake()
	}
	return err
}

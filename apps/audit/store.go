package audit

import (
	"context"
	"crypto/ed25519"
	"iter"
	"time"

	"souk/apps/audit/internal/trail"
	"souk/pkg/audit"
)

// Verify checks the whole trail in a database: each entry, and the checkpoints in the database and the given ones,
// which were kept elsewhere. It returns the last position.
//
// Errors: [audit.ErrAltered], unavailable.
func Verify(
	ctx context.Context, pool trail.DB, key ed25519.PublicKey, kept []audit.Checkpoint,
) (audit.Position, error) {
	return trail.NewStore(pool).Check(ctx, key, kept)
}

// Entries returns the entries behind a number that were made from one time on and before another, the oldest first. It
// ends with the first error.
func Entries(ctx context.Context, pool trail.DB, after int64, from, to time.Time) iter.Seq2[audit.Entry, error] {
	const page = 500
	store := trail.NewStore(pool)
	return func(yield func(audit.Entry, error) bool) {
		for {
			entries, err := store.After(ctx, after, from, to, page)
			if err != nil {
				yield(audit.Entry{}, err)
				return
			}
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
				after = e.Seq
			}
			if len(entries) < page {
				return
			}
		}
	}
}

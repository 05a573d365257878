package operate

import (
	"context"
	"fmt"
	"io"
	"time"

	"souk/apps/comment"
	"souk/pkg/document"
)

// RebuildReviews computes the ratings of products and the numbers of votes from the reviews again.
func (s *Souk) RebuildReviews(ctx context.Context, out io.Writer) error {
	pool, err := s.open(ctx, comment.Module.Name)
	if err != nil {
		return err
	}
	defer pool.Close()
	began := time.Now()
	n, err := comment.Rebuild(ctx, document.Open(pool))
	if err != nil {
		return fmt.Errorf("after %d products: %w", n, err)
	}
	fmt.Fprintf(out, "rebuilt the ratings of %d products in %s\n", n, time.Since(began).Round(time.Millisecond))
	return nil
}

package operate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"souk/apps/comment"
	"souk/apps/product"
)

// RebuildReviews computes the ratings of products and the numbers of votes from the reviews again. The catalogue takes
// the ratings whatever their versions, so that it also follows an older backup of the reviews.
func (s *Souk) RebuildReviews(ctx context.Context, out io.Writer) error {
	pools, closeAll, err := s.openAll(ctx, []string{comment.Module.Name, product.Module.Name})
	if err != nil {
		return err
	}
	defer closeAll()
	began := time.Now()
	rated, err := product.ResetRatings(ctx, pools[product.Module.Name])
	if err != nil {
		return err
	}
	store, closeStore, err := s.documentsOf(comment.Module.Name, pools[comment.Module.Name])
	if err != nil {
		return err
	}
	n, err := comment.Rebuild(ctx, store, rated...)
	err = errors.Join(err, closeStore(ctx))
	if err != nil {
		return fmt.Errorf("after %d products: %w", n, err)
	}
	fmt.Fprintf(out, "rebuilt the ratings of %d products in %s\n", n, time.Since(began).Round(time.Millisecond))
	return nil
}

package operate

import (
	"context"
	"fmt"
	"io"
	"time"

	"souk/apps/product"
)

// RebuildSearch makes the search's read model from the catalogue again.
func (s *Souk) RebuildSearch(ctx context.Context, out io.Writer) error {
	pool, err := s.open(ctx, product.Module.Name)
	if err != nil {
		return err
	}
	defer pool.Close()
	began := time.Now()
	n, err := product.Rebuild(ctx, pool)
	if err != nil {
		return fmt.Errorf("after %d products: %w", n, err)
	}
	fmt.Fprintf(out, "rebuilt %d products in %s\n", n, time.Since(began).Round(time.Millisecond))
	return nil
}

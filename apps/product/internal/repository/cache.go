package repository

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/rueidis"
	"go.uber.org/zap"

	"souk/apps/product/internal/domain"
	"souk/pkg/cache"
	"souk/pkg/redisx"
)

// catalogTag is the tag of all lists of products.
const catalogTag = "catalog"

// Cache caches single products and versions the lists of products.
type Cache struct {
	client   rueidis.Client
	products *cache.Cache[domain.Document]
	logger   *zap.Logger
	ttl      time.Duration
	lately   time.Duration
}

// NewCache returns a cache of products. The products are in values, which may evict them; versions and what was changed
// are in client, which must not evict. A changed product is dropped at once. If Redis was not reachable then, the
// product is out of date for at most ttl. For lately, the cache remembers that a product was changed; 0: not at all.
func NewCache(
	client, values rueidis.Client, ttl, lately time.Duration, logger *zap.Logger, metrics prometheus.Registerer,
) (*Cache, error) {
	products, err := cache.New(values, cache.Options[domain.Document]{
		Name: "product", TTL: ttl, Encode: encodeDocument, Decode: decodeDocument, Metrics: metrics,
	})
	if err != nil {
		return nil, err
	}
	return &Cache{client: client, ttl: ttl, lately: lately, logger: logger, products: products}, nil
}

// Document returns a product from the cache, or from load.
func (c *Cache) Document(
	ctx context.Context, productID string, load func(context.Context) (domain.Document, error),
) (domain.Document, error) {
	return c.products.GetOrLoad(ctx, productID, load)
}

// Generation returns a version that every change of the catalogue changes, in all processes at once. It returns
// false while Redis is not reachable.
func (c *Cache) Generation(ctx context.Context) (string, bool) {
	v, err := cache.Version(ctx, c.client, c.ttl, cache.Tag(catalogTag))
	return v, err == nil
}

// Changed drops products from the cache. It also marks all lists, and the gateway's responses that show the
// products, as out of date.
func (c *Cache) Changed(ctx context.Context, productIDs []string) {
	c.drop(ctx, productIDs, []string{cache.Tag(catalogTag)})
}

// drop drops products from the cache, and marks the gateway's responses that show them, and those with the tags, as out
// of date.
func (c *Cache) drop(ctx context.Context, productIDs, tags []string) {
	for _, productID := range productIDs {
		tags = append(tags, cache.Tag("product", productID))
	}
	// First what was changed: a load that begins after its key was dropped must know.
	err := errors.Join(
		c.remember(ctx, productIDs),
		c.products.Invalidate(ctx, productIDs...),
		cache.Bump(ctx, c.client, tags...),
	)
	if err != nil {
		c.logger.Warn("cache not invalidated; it is out of date for a while", zap.Error(err),
			zap.Duration("at_most", c.ttl))
	}
}

// changedKey is the key that exists for a while after a product was changed.
func changedKey(productID string) string { return "cache:changed:product:" + productID }

// remember notes that products were changed.
func (c *Cache) remember(ctx context.Context, productIDs []string) error {
	if c.lately == 0 || len(productIDs) == 0 {
		return nil
	}
	cmds := make(rueidis.Commands, len(productIDs))
	for i, productID := range productIDs {
		cmds[i] = c.client.B().Set().Key(changedKey(productID)).Value("").Px(c.lately).Build()
	}
	var all []error
	for _, r := range c.client.DoMulti(ctx, cmds...) {
		all = append(all, redisx.Err(r.Error()))
	}
	return errors.Join(all...)
}

// changedLately reports whether a product was changed lately. If Redis cannot be reached, it may have been.
func (c *Cache) changedLately(ctx context.Context, productID string) bool {
	n, err := c.client.Do(ctx, c.client.B().Exists().Key(changedKey(productID)).Build()).AsInt64()
	return err != nil || n > 0
}

func encodeDocument(d domain.Document) ([]byte, error) {
	b := make([]byte, 0, 2+len(d.ShopID)+len(d.Bytes))
	visible := byte('0')
	if d.Visible {
		visible = '1'
	}
	b = append(b, visible)
	b = append(b, d.ShopID...)
	b = append(b, 0)
	return append(b, d.Bytes...), nil
}

var errNoDocument = errors.New("not a cached product")

func decodeDocument(b []byte) (domain.Document, error) {
	if len(b) < 2 {
		return domain.Document{}, errNoDocument
	}
	shop, doc, ok := bytes.Cut(b[1:], []byte{0})
	if !ok {
		return domain.Document{}, errNoDocument
	}
	return domain.Document{Visible: b[0] == '1', ShopID: string(shop), Bytes: doc}, nil
}

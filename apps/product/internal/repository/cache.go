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
)

// catalogTag stands for all lists of products.
const catalogTag = "catalog"

// Cache holds single products, and says when lists are out of date.
type Cache struct {
	client   rueidis.Client
	products *cache.Cache[domain.Document]
	logger   *zap.Logger
	ttl      time.Duration
}

// NewCache returns a cache of products. What changes is invalidated at once; a product whose change could
// not be told (Redis was away) is out of date for at most ttl.
func NewCache(client rueidis.Client, ttl time.Duration, logger *zap.Logger, metrics prometheus.Registerer) (*Cache, error) {
	products, err := cache.New(client, cache.Options[domain.Document]{
		Name: "product", TTL: ttl, Encode: encodeDocument, Decode: decodeDocument, Metrics: metrics,
	})
	if err != nil {
		return nil, err
	}
	return &Cache{client: client, ttl: ttl, logger: logger, products: products}, nil
}

// Document returns a product from the cache, or from load.
func (c *Cache) Document(ctx context.Context, productID string, load func(context.Context) (domain.Document, error)) (domain.Document, error) {
	return c.products.GetOrLoad(ctx, productID, load)
}

// Generation changes with every change of the catalogue, in all processes at once. It is false while
// Redis cannot be asked.
func (c *Cache) Generation(ctx context.Context) (string, bool) {
	v, err := cache.Version(ctx, c.client, c.ttl, cache.Tag(catalogTag))
	return v, err == nil
}

// Changed drops products from the cache, and marks all lists, and answers of the gateway that show the
// products, as out of date.
func (c *Cache) Changed(ctx context.Context, productIDs []string) {
	tags := make([]string, 0, len(productIDs)+1)
	tags = append(tags, cache.Tag(catalogTag))
	for _, productID := range productIDs {
		tags = append(tags, cache.Tag("product", productID))
	}
	err := errors.Join(c.products.Invalidate(ctx, productIDs...), cache.Bump(ctx, c.client, tags...))
	if err != nil {
		c.logger.Warn("cache not told of a change; it will be out of date for a while", zap.Error(err), zap.Duration("at_most", c.ttl))
	}
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

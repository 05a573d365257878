package repository

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redis/rueidis"
	"google.golang.org/grpc"

	"souk/apps/cart/internal/domain"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/batch"
	"souk/pkg/cache"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/money"
	"souk/pkg/redisx"
)

const (
	// maxOffers bounds the number of cached offers. An offer takes about half a kilobyte.
	maxOffers = 20_000
	// maxVariants is the most variants that the product service accepts in one call.
	maxVariants = 500
	// parallelLoads is the number of parallel calls to the product service. Callers that arrive during a call
	// share the next one.
	parallelLoads = 2
	// tagTTL is how long the client-side cache trusts a version without an invalidation from Redis.
	tagTTL = time.Minute
)

// Products is the product service, as far as Offers needs it.
type Products interface {
	BatchGetVariants(
		ctx context.Context, r *productv1.BatchGetVariantsRequest, opts ...grpc.CallOption,
	) (*productv1.BatchGetVariantsResponse, error)
}

// Offers caches offers of the product service. A cached offer is valid for the TTL, and only while the product's
// tag in Redis keeps its version. The product service increments the version when a price or title changes and
// when a variant sells out. Checking the version takes a read of the client-side cache. Callers that miss share
// calls.
type Offers struct {
	redis    rueidis.Client
	products Products
	clock    clock.Clock
	ttl      time.Duration
	calls    *batch.Batcher[[]string, []*domain.Offer]

	mu   sync.RWMutex
	kept map[string]keptOffer
}

type keptOffer struct {
	offer   *domain.Offer // nil if the variant is gone
	version string        // of the product's tag
	at      time.Time     // when it was loaded
}

// NewOffers returns an empty cache. It must be closed.
func NewOffers(redis rueidis.Client, products Products, c clock.Clock, ttl time.Duration) *Offers {
	o := &Offers{redis: redis, products: products, clock: c, ttl: ttl, kept: map[string]keptOffer{}}
	o.calls = batch.New(maxVariants, o.load, batch.WithParallel(parallelLoads))
	return o
}

// Close waits for the calls in flight.
func (o *Offers) Close() { o.calls.Close() }

// Get returns the variants' offers, in their order; nil for a variant that is gone. Callers share the offers and
// must not change them.
//
// Errors: those of the product service, unavailable (Redis is unavailable).
func (o *Offers) Get(ctx context.Context, variantIDs []string) ([]*domain.Offer, error) {
	if len(variantIDs) == 0 {
		return nil, nil
	}
	out := make([]*domain.Offer, len(variantIDs))
	missing, err := o.fromMemory(ctx, variantIDs, out)
	if err != nil || len(missing) == 0 {
		return out, err
	}
	ids := make([]string, len(missing))
	for i, at := range missing {
		ids[i] = variantIDs[at]
	}
	loaded, err := o.calls.Submit(ctx, ids)
	if err != nil {
		return nil, err
	}
	for i, at := range missing {
		out[at] = loaded[i]
	}
	return out, nil
}

// fromMemory stores the valid cached offers in out, and returns the indexes of the others.
func (o *Offers) fromMemory(ctx context.Context, variantIDs []string, out []*domain.Offer) (missing []int, err error) {
	now := o.clock.Now()
	cached := make([]keptOffer, len(variantIDs))
	products := make([]string, 0, len(variantIDs))
	o.mu.RLock()
	for i, v := range variantIDs {
		k, ok := o.kept[v]
		if !ok || now.Sub(k.at) >= o.ttl {
			missing = append(missing, i)
			continue
		}
		cached[i] = k
		if k.offer != nil {
			products = append(products, k.offer.ProductID)
		}
	}
	o.mu.RUnlock()
	versions, err := o.versions(ctx, products)
	if err != nil {
		return nil, err
	}
	next := 0
	for i, k := range cached {
		if k.offer == nil {
			continue
		}
		if versions[next] == k.version {
			out[i] = k.offer
		} else {
			missing = append(missing, i)
		}
		next++
	}
	return missing, nil
}

// versions returns the versions of the products' tags, in the order of productIDs.
func (o *Offers) versions(ctx context.Context, productIDs []string) ([]string, error) {
	if len(productIDs) == 0 {
		return nil, nil
	}
	cmds := make([]rueidis.CacheableTTL, len(productIDs))
	for i, p := range productIDs {
		cmds[i] = rueidis.CT(o.redis.B().Get().Key(cache.Tag("product", p)).Cache(), tagTTL)
	}
	out := make([]string, len(productIDs))
	for i, r := range o.redis.DoMultiCache(ctx, cmds...) {
		v, err := r.ToString()
		if err != nil && !rueidis.IsRedisNil(err) {
			return nil, redisx.Err(err)
		}
		out[i] = v // "" before the first change
	}
	return out, nil
}

// load asks the product service for the variants of several callers.
func (o *Offers) load(ctx context.Context, wanted [][]string) ([]batch.Result[[]*domain.Offer], error) {
	ids := slices.Concat(wanted...)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	found := make(map[string]*domain.Offer, len(ids))
	var products []string
	for chunk := range slices.Chunk(ids, maxVariants) {
		res, err := o.products.BatchGetVariants(ctx, &productv1.BatchGetVariantsRequest{VariantIds: chunk})
		if err != nil {
			return nil, err
		}
		for _, p := range res.GetOffers() {
			offer, err := offerOf(p)
			if err != nil {
				return nil, err
			}
			found[offer.VariantID] = offer
			products = append(products, offer.ProductID)
		}
	}
	versions, err := o.versions(ctx, products)
	if err != nil {
		return nil, err
	}
	byProduct := make(map[string]string, len(products))
	for i, p := range products {
		byProduct[p] = versions[i]
	}
	o.keep(ids, found, byProduct)
	out := make([]batch.Result[[]*domain.Offer], len(wanted))
	for i, w := range wanted {
		out[i].Value = make([]*domain.Offer, len(w))
		for j, v := range w {
			out[i].Value[j] = found[v]
		}
	}
	return out, nil
}

func (o *Offers) keep(ids []string, found map[string]*domain.Offer, versions map[string]string) {
	now := o.clock.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.kept)+len(ids) > maxOffers {
		for v, k := range o.kept {
			if now.Sub(k.at) >= o.ttl {
				delete(o.kept, v)
			}
		}
		if len(o.kept)+len(ids) > maxOffers {
			clear(o.kept)
		}
	}
	for _, v := range ids {
		k := keptOffer{offer: found[v], at: now}
		if k.offer != nil {
			k.version = versions[k.offer.ProductID]
		}
		o.kept[v] = k
	}
}

func offerOf(p *productv1.Offer) (*domain.Offer, error) {
	price, err := money.FromProto(p.GetPrice())
	if err != nil || price == (money.Money{}) {
		return nil, errs.Wrap(err, errs.Internal, "the price of %s cannot be read", p.GetVariantId())
	}
	return &domain.Offer{
		VariantID: p.GetVariantId(),
		ProductID: p.GetProductId(),
		ShopID:    p.GetShopId(),
		ShopName:  p.GetShopName(),
		Title:     p.GetTitle(),
		SKU:       p.GetSku(),
		ImageURL:  p.GetImageUrl(),
		Options:   p.GetOptions(),
		Price:     price,
		Pieces:    p.GetAvailable(),
		ForSale:   p.GetForSale(),
	}, nil
}

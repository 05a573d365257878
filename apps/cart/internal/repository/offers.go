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
	"souk/pkg/cache"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/money"
	"souk/pkg/postgres"
	"souk/pkg/redisx"
)

const (
	// maxOffers bounds what is kept; an offer is about half a kilobyte.
	maxOffers = 20_000
	// maxAsked is how many variants the product service takes in one call.
	maxAsked = 500
	// parallelAsks are the calls to it that go on at once; callers that come meanwhile share the next.
	parallelAsks = 2
	// tagTTL is how long the client trusts a version of which Redis says nothing.
	tagTTL = time.Minute
)

// Products is what offers come from.
type Products interface {
	BatchGetVariants(ctx context.Context, r *productv1.BatchGetVariantsRequest, opts ...grpc.CallOption) (*productv1.BatchGetVariantsResponse, error)
}

// Offers remembers offers of the product service for a moment. One is good for the TTL, and as long as the
// product's tag in Redis has the version that it had: product bumps it when prices or titles change and
// when a variant sells out, which costs a look into the client-side cache. Callers that miss share calls.
type Offers struct {
	redis    rueidis.Client
	products Products
	clock    clock.Clock
	ttl      time.Duration
	calls    *postgres.Group[[]string, []*domain.Offer]

	mu   sync.RWMutex
	kept map[string]keptOffer
}

type keptOffer struct {
	offer   *domain.Offer // nil: there is none
	version string        // of the product's tag
	at      time.Time
}

// OpenOffers returns an empty memory; Close ends it.
func OpenOffers(redis rueidis.Client, products Products, c clock.Clock, ttl time.Duration) *Offers {
	o := &Offers{redis: redis, products: products, clock: c, ttl: ttl, kept: map[string]keptOffer{}}
	o.calls = postgres.NewGroup(maxAsked, o.load, postgres.WithParallel(parallelAsks))
	return o
}

// Close waits for the calls under way.
func (o *Offers) Close() { o.calls.Close() }

// Get returns the variants' offers, in their order; nil for what is gone. Offers are shared: don't change
// them. It fails as the product service does, and with unavailable when Redis is away.
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
	loaded, err := o.calls.Do(ctx, ids)
	if err != nil {
		return nil, err
	}
	for i, at := range missing {
		out[at] = loaded[i]
	}
	return out, nil
}

// fromMemory fills out with what is known and good, and returns the places of what is not.
func (o *Offers) fromMemory(ctx context.Context, variantIDs []string, out []*domain.Offer) (missing []int, err error) {
	now := o.clock.Now()
	known := make([]keptOffer, len(variantIDs))
	products := make([]string, 0, len(variantIDs))
	o.mu.RLock()
	for i, v := range variantIDs {
		k, ok := o.kept[v]
		if !ok || now.Sub(k.at) >= o.ttl {
			missing = append(missing, i)
			continue
		}
		known[i] = k
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
	for i, k := range known {
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

// versions returns those of the products' tags.
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

// load asks the product service for what several callers want.
func (o *Offers) load(ctx context.Context, wanted [][]string) ([]postgres.Result[[]*domain.Offer], error) {
	ids := slices.Concat(wanted...)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	found := make(map[string]*domain.Offer, len(ids))
	var products []string
	for chunk := range slices.Chunk(ids, maxAsked) {
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
	out := make([]postgres.Result[[]*domain.Offer], len(wanted))
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
		VariantID: p.GetVariantId(), ProductID: p.GetProductId(), ShopID: p.GetShopId(), ShopName: p.GetShopName(), Title: p.GetTitle(),
		SKU: p.GetSku(), ImageURL: p.GetImageUrl(), Options: p.GetOptions(), Price: price, Pieces: p.GetAvailable(), ForSale: p.GetForSale(),
	}, nil
}

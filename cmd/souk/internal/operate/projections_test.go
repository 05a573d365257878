package operate

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"souk/gen/go/souk/services"
	shopv1 "souk/gen/go/souk/shop/v1"
	"souk/pkg/event"
	"souk/pkg/outbox"
)

// provision creates the durable consumers of all services, as natsauth does.
func (h *harness) provision(t *testing.T) {
	t.Helper()
	var durables []outbox.Durable
	for _, s := range services.All() {
		for _, c := range s.Consumers {
			durables = append(durables, outbox.NewDurable(s.Name, c.Purpose, c.Subjects))
		}
	}
	require.NoError(
		t,
		outbox.NewProvisioner(h.js, outbox.Streams{}, durables, zap.NewNop(), nil).Provision(t.Context()),
	)
}

func (h *harness) rebuild(t *testing.T, name string) (string, error) {
	t.Helper()
	return h.run(t, func(s *Souk, w io.Writer) error { return s.RebuildProjection(t.Context(), w, name) })
}

func TestProjectionsAreListedWithTheirRowsAndEvents(t *testing.T) {
	t.Parallel()
	h := setup(t)
	list := func() (string, error) {
		return h.run(t, func(s *Souk, w io.Writer) error { return s.Projections(t.Context(), w) })
	}
	_, err := list()
	require.ErrorContains(t, err, "the consumer comment_reviews does not exist")
	h.provision(t)
	e, err := event.New(t.Context(), "evt.shop.updated", "shp_1", 2, time.Now(), &shopv1.ShopUpdated{ShopId: "shp_1"})
	require.NoError(t, err)
	_, err = h.js.PublishMsg(t.Context(), e.Msg("shop"))
	require.NoError(t, err)
	_, err = h.pool(t, "product").Exec(t.Context(), `
		insert into shop_ref (shop_id, handle, name, status, version, updated_at)
		values ('shp_1', 'a', 'A', 'active', 1, now())`)
	require.NoError(t, err)
	out, err := list()
	require.NoError(t, err)
	require.Regexp(t, `(?m)^comment\.ratings +0 +0 +- +evt\.review\.`, out)
	require.Regexp(t, `(?m)^product\.shops +1 +1 +- +evt\.shop\.registered`, out)
}

func TestCopiesOfShopsAreRebuiltFromTheShopService(t *testing.T) {
	t.Parallel()
	h := setup(t)
	_, err := h.pool(t, "shop").Exec(t.Context(), `
		insert into shop (id, handle, name, status, version, created_at, updated_at)
		select 'shp_' || n, 'shop-' || n, 'Shop ' || n, 'active', n, now(), now() from generate_series(1, 250) n`)
	require.NoError(t, err)
	products := h.pool(t, "product")
	_, err = products.Exec(t.Context(), `
		insert into shop_ref (shop_id, handle, name, status, version, updated_at)
		values ('shp_7', 'shop-7', 'Shop 7', 'suspended', 9223372036854775806, now())`)
	require.NoError(t, err)
	for range 2 {
		out, err := h.rebuild(t, "product.shops")
		require.NoError(t, err)
		require.Contains(t, out, "rebuilt 250 shops in ")
		var right int
		require.NoError(t, products.QueryRow(t.Context(), `select count(*) from shop_ref
			where shop_id = 'shp_' || version and name = 'Shop ' || version and status = 'active'`).Scan(&right))
		require.Equal(t, 250, right)
	}
}

func TestEachProjectionIsRebuiltByItsName(t *testing.T) {
	t.Parallel()
	h := setup(t)
	s, err := Open(h.source())
	require.NoError(t, err)
	require.NotEmpty(t, s.projections())
	for _, p := range s.projections() {
		out, err := h.rebuild(t, p.name())
		require.NoError(t, err, p.name())
		require.Contains(t, out, "rebuilt 0 "+p.Unit)
	}
	_, err = h.rebuild(t, "search")
	require.ErrorContains(t, err, `there is no projection "search"; choose from comment.ratings, `)
}

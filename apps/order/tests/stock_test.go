package tests

import (
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/errs"
)

// A customer who has to change the cart learns everything at once: each line that is short, and how many pieces there
// are. That holds for pieces that were gone before the checkout, and for those that another checkout takes meanwhile.
func TestOutOfStockNamesEveryShortLine(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.offer("var_ok", "shp_1", "1.00", 100)
	h.offer("var_few", "shp_1", "1.00", 3)
	h.offer("var_none", "shp_2", "1.00", 0)
	h.offer("var_gone", "shp_2", "1.00", 7)
	h.offers["var_gone"].ForSale = false
	c := user("c")
	h.fill(c.ID, line("var_few", 5), line("var_ok", 1), line("var_none", 2), line("var_gone", 1), line("var_lost", 1))
	_, err := h.checkout(c, "k", checkoutRequest("tok_ok"))
	require.Equal(t, errs.OutOfStock, errs.CodeOf(err), "%v", err)
	require.Equal(t, []errs.Field{
		{Path: "items.var_few", Message: "3 of 5 pieces are available"},
		{Path: "items.var_none", Message: "0 of 2 pieces are available"},
		{Path: "items.var_gone", Message: "is no longer for sale"},
		{Path: "items.var_lost", Message: "is no longer for sale"},
	}, errs.From(err).Fields)

	refused := errs.New(errs.OutOfStock, "Thing (SKU) is out of stock")
	refused.Fields = []errs.Field{
		{Path: "var_few", Message: "1 of 2 pieces are available"},
		{Path: "var_ok", Message: "0 of 1 pieces are available"},
	}
	h.fail["ReserveInventory"] = []error{refused}
	h.fill(c.ID, line("var_few", 2), line("var_ok", 1))
	_, err = h.checkout(c, "k2", checkoutRequest("tok_ok"))
	require.Equal(t, errs.OutOfStock, errs.CodeOf(err), "%v", err)
	require.Equal(t, []errs.Field{
		{Path: "items.var_few", Message: "1 of 2 pieces are available"},
		{Path: "items.var_ok", Message: "0 of 1 pieces are available"},
	}, errs.From(err).Fields)
	require.Equal(t, 6.0, h.Metric("stock_out_total"))
	h.requireConsistent()
}

package handler

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	productv1 "souk/gen/go/souk/product/v1"
)

func TestProductsAreDecodedOnce(t *testing.T) {
	t.Parallel()
	doc := func(title string) []byte {
		b, err := proto.Marshal(&productv1.Product{Id: "prd_1", Title: title})
		require.NoError(t, err)
		return b
	}
	d := newDecodedProducts()
	bytes := doc("old")
	first, err := d.response("prd_1", bytes)
	require.NoError(t, err)
	require.Equal(t, "old", first.GetProduct().GetTitle())
	for _, again := range [][]byte{bytes, doc("old")} {
		out, err := d.response("prd_1", again)
		require.NoError(t, err)
		require.Same(t, first, out)
	}
	changed, err := d.response("prd_1", doc("new"))
	require.NoError(t, err)
	require.Equal(t, "new", changed.GetProduct().GetTitle())
	require.Equal(t, "old", first.GetProduct().GetTitle())

	_, err = d.response("prd_1", []byte{0xff})
	require.Error(t, err)
	empty, err := d.response("prd_2", nil)
	require.NoError(t, err)
	require.True(t, proto.Equal(&productv1.Product{}, empty.GetProduct()))
}

package page_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/errs"
	"souk/pkg/page"
)

type cursor struct {
	Price int64  `json:"p"`
	ID    string `json:"i"`
}

func TestSizeIsWithinItsBounds(t *testing.T) {
	t.Parallel()
	for in, want := range map[int32]int{-1: 20, 0: 20, 1: 1, 20: 20, 100: 100, 101: 100, 1_000_000: 100} {
		require.Equal(t, want, page.Size(in))
	}
}

func TestTokenIsValidForItsOwnQueryOnly(t *testing.T) {
	t.Parallel()
	in := cursor{Price: 1<<62 + 1, ID: "prd_Ж\"'"}
	token := page.Encode(in, "q=shoes", "sort=price")
	var out cursor
	require.NoError(t, page.Decode(token, &out, "q=shoes", "sort=price"))
	require.Equal(t, in, out)
	require.NoError(t, page.Decode("", &out, "whatever"))
	require.Equal(t, in, out)

	flipped := "A" + token[1:]
	if flipped == token {
		flipped = "B" + token[1:]
	}
	for name, bad := range map[string]string{
		"made up": "page2", "number": "2", "not base64": "%%%", "cut": token[:len(token)-3], "changed": flipped,
		"padded": token + "==", "long": strings.Repeat("A",
			5000), "space": " ", "json": base64.RawURLEncoding.EncodeToString([]byte(`{"p":1,"i":"x"}`)),
		"another cursor": page.Encode(map[string]string{"x": "y"}, "q=shoes", "sort=price"),
	} {
		err := page.Decode(bad, &out, "q=shoes", "sort=price")
		require.True(t, errs.Is(err, errs.Invalid), name)
		require.Equal(t, "pageToken", errs.From(err).Fields[0].Path, name)
	}
	require.Error(t, page.Decode(token, &out, "q=shoessort=price"))
	require.Error(t, page.Decode(token, &out, "q=hats", "sort=price"))
	require.Error(t, page.Decode(token, &out))
}

func ExampleEncode() {
	type cursor struct {
		Price int64
		ID    string
	}
	token := page.Encode(cursor{1299, "prd_1"}, "query=lamp", "sort=price_asc")
	var c cursor
	fmt.Println(page.Decode(token, &c, "query=lamp", "sort=price_asc"), c)
	fmt.Println(page.Decode(token, &c, "query=chair", "sort=price_asc"))
	// Output:
	// <nil> {1299 prd_1}
	// invalid_argument: pageToken: must be the nextPageToken of the same query, unchanged
}

func ExampleList() {
	lamps := []string{"arc", "desk", "floor", "table", "wall"}
	read := func(_ context.Context, after string, limit int) ([]string, error) {
		i := sort.SearchStrings(lamps, after+"\x00")
		return lamps[i:min(i+limit, len(lamps))], nil
	}
	r := page.Request{Size: 2, Filter: []string{"lamps"}}
	for more := true; more; more = r.Token != "" {
		var rows []string
		rows, r.Token, _ = page.List(context.Background(), r, "", read, func(lamp string) string { return lamp })
		fmt.Println(rows)
	}
	// Output:
	// [arc desk]
	// [floor table]
	// [wall]
}

//go:build none

package tests

import (
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/moduletest"
	samplev1 "souk/tools/servicegen/templates/gen/go/souk/sample/v1"
)

func TestPartsAddUpToTheAmount(t *testing.T) {
	t.Parallel()
	h := setup(t)
	res, err := h.sample.Split(h.As(identity.Anonymous()),
		&samplev1.SplitRequest{Amount: "10.00", CurrencyCode: "BRL", Parts: 3})
	require.NoError(t, err)
	var parts []string
	for _, p := range res.GetParts() {
		parts = append(parts, p.GetAmount())
	}
	require.Equal(t, []string{"3.34", "3.33", "3.33"}, parts)
}

func TestInvalidSplitsAreRefused(t *testing.T) {
	t.Parallel()
	h := setup(t, moduletest.Config(map[string]any{"max_parts": 3}))
	for field, req := range map[string]*samplev1.SplitRequest{
		"amount":       {Amount: "ten", CurrencyCode: "BRL", Parts: 3},
		"currencyCode": {Amount: "10.00", CurrencyCode: "real", Parts: 3},
		"parts":        {Amount: "10.00", CurrencyCode: "BRL", Parts: 4},
	} {
		_, err := h.sample.Split(h.As(identity.Anonymous()), req)
		require.True(t, errs.Is(err, errs.Invalid), "%s: %v", field, err)
		require.Equal(t, field, errs.From(err).Fields[0].Path)
	}
}

package shop

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/pkg/errs"
)

func TestInvalidHandlesAreRefused(t *testing.T) {
	t.Parallel()
	for handle, name := range map[string]string{
		"": "店", "Upper": "x", "-dash": "x", "under_score": "x", "shp_00000000000000000000000000000000": "x",
		"ok": "   ",
	} {
		_, err := newShop(handle, name, time.Time{})
		require.True(t, errs.Is(err, errs.Invalid), "%q %q: %v", handle, name, err)
	}
}

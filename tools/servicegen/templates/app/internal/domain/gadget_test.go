//go:build !none

package domain

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/pkg/errs"
)

func TestGadgetAppliesOnlyValidChanges(t *testing.T) {
	t.Parallel()
	text := func(s string) *string { return &s }
	for name, c := range map[string]struct {
		change  GadgetChange
		changed bool
		code    errs.Code
	}{
		"no field":        {},
		"the same name":   {change: GadgetChange{Name: text(" First")}},
		"a name":          {change: GadgetChange{Name: text("Second")}, changed: true},
		"a description":   {change: GadgetChange{Description: text("Red")}, changed: true},
		"no description":  {change: GadgetChange{Description: text("")}},
		"a missing name":  {change: GadgetChange{Name: text("")}, code: errs.Invalid},
		"a name of space": {change: GadgetChange{Name: text(" \t")}, code: errs.Invalid},
		"a NUL character": {change: GadgetChange{Description: text("\x00")}, code: errs.Invalid},
	} {
		v, err := NewGadget("usr_1", "First", "", time.Unix(1, 0))
		require.NoError(t, err)
		changed, err := v.Apply(c.change, time.Unix(2, 0))
		require.Equal(t, c.changed, changed, name)
		if c.code != "" {
			require.True(t, errs.Is(err, c.code), "%s: %v", name, err)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, changed, v.Version == 2, name)
		require.Equal(t, changed, v.UpdatedAt.After(v.CreatedAt), name)
	}
}

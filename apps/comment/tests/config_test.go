package tests

import (
	"testing"

	"github.com/stretchr/testify/require"

	"souk/apps/comment"
)

func TestConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	for field, change := range map[string]func(*comment.Config){
		"":                   func(*comment.Config) {},
		"hold_repeated_from": func(c *comment.Config) { c.HoldRepeatedFrom = -1 },
		"hold_reports":       func(c *comment.Config) { c.HoldReports = 51 },
		"hold_words":         func(c *comment.Config) { c.HoldWords = make([]string, 10_001) },
	} {
		c := comment.Default()
		change(&c)
		err := c.Validate()
		if field == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, field+": ")
	}
}

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLicencesOfTexts(t *testing.T) {
	t.Parallel()
	own, err := os.ReadFile("../../LICENSE")
	require.NoError(t, err)
	licences, err := ofText(own)
	require.NoError(t, err)
	require.Equal(t, []string{"Apache-2.0"}, licences)
	_, err = ofText([]byte("All rights reserved. You may look at this, and nothing else."))
	require.ErrorContains(t, err, "0 % of it")

	dir := t.TempDir()
	none, err := ofFolder(dir)
	require.NoError(t, err)
	require.ErrorContains(t, check(none), "no licence")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "LICENSE.txt"), own, 0o600))
	licences, err = ofFolder(dir)
	require.NoError(t, err)
	require.NoError(t, check(licences))
	require.EqualError(t, check([]string{"MIT", "AGPL-3.0"}), "AGPL-3.0")
}

func TestLicencesOfPackages(t *testing.T) {
	t.Parallel()
	got := map[string][]string{}
	require.NoError(t, readLock([]byte(`{"packages": {
		"": {"license": "Apache-2.0"},
		"node_modules/a": {"version": "1.0.0", "license": "MIT"},
		"node_modules/a/node_modules/@x/b": {"version": "2.0.0", "license": "(GPL-3.0-only OR MIT)"},
		"node_modules/c": {"version": "3.0.0", "license": "MIT AND GPL-3.0-only"},
		"node_modules/d": {"version": "4.0.0"}
	}}`), got))
	require.Equal(t, map[string][]string{
		"a 1.0.0": {"MIT"}, "@x/b 2.0.0": {"MIT"}, "c 3.0.0": {"MIT", "GPL-3.0-only"}, "d 4.0.0": {},
	}, got)
	require.Error(t, check(got["c 3.0.0"]))
	require.Error(t, check(got["d 4.0.0"]))
	require.Error(t, readLock([]byte("{"), got))
}

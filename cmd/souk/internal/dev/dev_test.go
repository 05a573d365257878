package dev

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// free is an address that nothing listens on.
const free = "127.0.0.1:58231"

func TestHTTPAddressIsParsed(t *testing.T) {
	t.Parallel()
	for flag, want := range map[string]httpAddress{
		"127.0.0.1:8080": {"127.0.0.1:8080", "http://127.0.0.1:8080", false},
		"localhost:8080": {"localhost:8080", "http://localhost:8080", false},
		"[::1]:8080":     {"[::1]:8080", "http://[::1]:8080", false},
		":8080":          {":8080", "http://127.0.0.1:8080", true},
		"0.0.0.0:9":      {"0.0.0.0:9", "http://127.0.0.1:9", true},
		"[::]:9":         {"[::]:9", "http://127.0.0.1:9", true},
		"192.0.2.7:80":   {"192.0.2.7:80", "http://192.0.2.7:80", true},
	} {
		got, err := parseHTTP(flag)
		require.NoError(t, err, flag)
		require.Equal(t, want, got)
	}
	for _, flag := range []string{
		"", "8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:0", "127.0.0.1:70000", "::1:80",
	} {
		_, err := parseHTTP(flag)
		require.ErrorContains(t, err, "--http is host:port", flag)
	}
}

func TestEphemeralRemovesOnlyWhatItCreated(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	mine := filepath.Join(parent, "mine")
	require.NoError(t, os.Mkdir(mine, 0o700))
	file := filepath.Join(mine, "thesis.txt")
	require.NoError(t, os.WriteFile(file, []byte("years of work"), 0o600))

	_, err := openHome(mine, true)
	require.ErrorContains(t, err, "holds files: --ephemeral removes its data directory")
	entries, err := os.ReadDir(mine)
	require.NoError(t, err)
	require.Len(t, entries, 1)

	empty := filepath.Join(parent, "empty")
	require.NoError(t, os.Mkdir(empty, 0o700))
	for dir, stays := range map[string]bool{empty: true, filepath.Join(parent, "new"): false} {
		h, err := openHome(dir, true)
		require.NoError(t, err)
		_, err = openHome(dir, true)
		require.ErrorContains(t, err, "uses this data directory")
		require.FileExists(t, filepath.Join(dir, "secrets.json"))
		require.NoError(t, h.close())
		if !stays {
			require.NoDirExists(t, dir)
			continue
		}
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Empty(t, entries)
	}
}

func TestRefusedStartChangesNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	for _, o := range []Options{
		{HTTP: "8080"}, {HTTP: ""}, {HTTP: "192.0.2.1:80"}, {HTTP: free, Transport: "pigeon"},
		{HTTP: free, Split: true, Transport: "inprocess"},
	} {
		o.DataDir, o.Ephemeral = dir, true
		require.Error(t, Run(t.Context(), o, io.Discard))
		require.NoDirExists(t, dir)
	}
}

func TestStartWithoutRequiredProgramsChangesNothing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	dir := filepath.Join(t.TempDir(), "data")
	require.ErrorContains(t, Run(t.Context(), Options{HTTP: free, DataDir: dir}, io.Discard),
		"Redis: redis-server is not in PATH: apt-get install redis-server (other systems: Redis 7 or later)")
	require.NoDirExists(t, dir)
}

func TestTransportFollowsTheFlags(t *testing.T) {
	t.Parallel()
	for want, all := range map[string][]Options{
		"inprocess": {{}, {Transport: "inprocess"}},
		"nats":      {{Transport: "nats"}, {Split: true}, {Split: true, Transport: "nats"}},
	} {
		for _, o := range all {
			got, err := transportOf(o)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	}
	_, err := transportOf(Options{Split: true, Transport: "inprocess"})
	require.ErrorContains(t, err, "--split and --transport inprocess contradict each other")
}

func TestDamagedSecretsAreNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	damaged := []byte(`{"identity":"a","auth":"b","oidcAdmin":"c"}`)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "secrets.json"), damaged, 0o600))
	_, err := openHome(dir, false)
	require.ErrorContains(t, err, filepath.Join(dir, "secrets.json")+" is damaged: webhook is missing or empty")
}

func TestFoldersOfRemovedDataDirectoriesAreRemoved(t *testing.T) {
	t.Parallel()
	base, data := t.TempDir(), t.TempDir()
	kept, gone, foreign := filepath.Join(base, "dev-1"), filepath.Join(base, "dev-2"), filepath.Join(base, "dev-3")
	for _, dir := range []string{kept, gone, foreign} {
		require.NoError(t, os.Mkdir(dir, 0o700))
	}
	require.NoError(t, os.WriteFile(filepath.Join(data, "postgres.path"), []byte(kept), 0o600))
	require.NoError(t, (&home{dir: data}).own(kept))
	require.NoError(t, (&home{dir: filepath.Join(data, "gone")}).own(gone))

	require.NoError(t, removeOrphans(base))
	require.DirExists(t, kept)
	require.DirExists(t, foreign) // its owner is unknown
	require.NoDirExists(t, gone)
}

func TestFullDiskIsNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.ErrorContains(t, explainDisk(&os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, dir),
		"the disk of "+dir+" is full")
	other := io.ErrUnexpectedEOF
	require.True(t, errors.Is(explainDisk(other, dir), other))
}

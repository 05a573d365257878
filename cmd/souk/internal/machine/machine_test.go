package machine_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/cmd/souk/internal/machine"
)

// program creates an executable that prints its version.
func program(t *testing.T, dir, name, version string) {
	t.Helper()
	script := []byte("#!/bin/sh\necho '" + version + "'\n")
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), script, 0o700)) //nolint:gosec // it must be executable
}

//nolint:paralleltest // the tests set PATH
func TestProgramsAreFoundByTheirVersion(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	program(t, bin, "initdb", "initdb (PostgreSQL) 97.1")
	program(t, bin, "postgres", "postgres (PostgreSQL) 97.1")
	program(t, bin, "redis-server", "Redis server v=5.0.14 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64")

	f := machine.Postgres(t.TempDir())
	require.Empty(t, f.Advice)
	require.Equal(t, "postgres (PostgreSQL) 97.1, in "+bin, f.Found)

	data := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(data, "postgres", "data"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(data, "postgres", "data", "PG_VERSION"), []byte("96\n"), 0o600))
	f = machine.Postgres(data)
	require.Contains(t, f.Found, "is of version 96, which is not installed (97 is)")
	require.Contains(t, f.Advice, "apt-get install postgresql-96")

	f = machine.Redis()
	require.Equal(t, "version 5.0.14 is too old", f.Found)
	require.NotEmpty(t, f.Advice)
	program(t, bin, "redis-server", "Redis server v=7.2.4 sha=00000000:0")
	require.Empty(t, machine.Redis().Advice)

	t.Setenv("PATH", t.TempDir())
	require.Contains(t, machine.Redis().Advice, "apt-get install redis-server")
}

func TestDataDirMustBeWritableAndHaveRoom(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := machine.DataDir(filepath.Join(dir, "not", "there", "yet"))
	require.Empty(t, f.Advice)
	require.Contains(t, f.Found, "MiB free")
	require.NoDirExists(t, filepath.Join(dir, "not"))

	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.Contains(t, machine.DataDir(file).Found, "is a file")
	require.NotEmpty(t, machine.DataDir(filepath.Join(file, "below")).Advice)

	f = machine.DataDir("/proc/souk")
	require.NotEmpty(t, f.Advice) // it is not writable, or its file system has no room
}

func TestPostgresUserMustReachItsData(t *testing.T) {
	t.Parallel()
	require.Empty(t, machine.Passable("/root", 1000).Advice)
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o700)) //nolint:gosec // user postgres must not pass through it
	f := machine.Passable(filepath.Join(dir, "data"), 0)
	// The user postgres is missing, or can't pass. In the second case souk dev puts the data below /var/lib/souk.
	if f.Advice == "" {
		require.Contains(t, f.Found, "its data goes below /var/lib/souk")
	}

	data := filepath.Join(dir, "data")
	require.NoError(t, os.Mkdir(data, 0o700))
	elsewhere := []byte(filepath.Join(dir, "elsewhere"))
	require.NoError(t, os.WriteFile(filepath.Join(data, "postgres.path"), elsewhere, 0o600))
	require.NotEmpty(t, machine.Passable(data, 0).Advice) // souk dev does not move data that it put elsewhere
}

func TestPortMustBeFreeOrUsedBySouk(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, ln.Close()) }()
	addr := ln.Addr().String()

	f := machine.Port(addr, "")
	require.Contains(t, f.Found, "can't be listened on")
	require.Contains(t, f.Advice, "--http")
	require.Empty(t, machine.Port(addr, "http://"+addr).Advice)
	f = machine.Port("0.0.0.0:8080", "http://127.0.0.1:8080")
	require.Equal(t, "0.0.0.0:8080 is used by the souk that runs", f.Found)
	require.Empty(t, machine.Port("127.0.0.1:0", "").Advice)
	require.NotEmpty(t, machine.Port("nonsense", "").Advice)
}

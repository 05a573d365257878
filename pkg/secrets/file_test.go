package secrets_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"souk/pkg/secrets"
	"souk/pkg/waittest"
)

// secretFile returns a value of a file, the file's path and what is logged.
func secretFile(t *testing.T, content string) (secrets.Value, string, *observer.ObservedLogs) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	core, logs := observer.New(zap.InfoLevel)
	s := secrets.NewStore(nil)
	s.LogTo(zap.New(core))
	v, err := s.Resolve("redis.password", reference(t, "file:"+path), nil)
	require.NoError(t, err)
	return v, path, logs
}

// replace writes a file as Kubernetes and the Vault agent do, some seconds ago.
func replace(t *testing.T, path, content string) {
	t.Helper()
	fresh := path + ".new"
	require.NoError(t, os.WriteFile(fresh, []byte(content), 0o600))
	ago := time.Now().Add(-5 * time.Second)
	require.NoError(t, os.Chtimes(fresh, ago, ago))
	require.NoError(t, os.Rename(fresh, path))
}

func TestChangedFileIsReadAgain(t *testing.T) {
	t.Parallel()
	v, path, logs := secretFile(t, "first\n")
	require.Equal(t, "first", v.Get())
	replace(t, path, "second\r\n")
	waittest.Until(t, func() bool { return v.Get() == "second" }, "the file is not read again")
	require.Equal(t, 1, logs.FilterMessage("secret read again").Len())
	// Without a replacement of the file, and with the same size.
	require.NoError(t, os.WriteFile(path, []byte("third!\r\n"), 0o600))
	waittest.Until(t, func() bool { return v.Get() == "third!" }, "the file is not read again")
}

func TestMissingAndEmptyFilesKeepTheLastValue(t *testing.T) {
	t.Parallel()
	v, path, logs := secretFile(t, "first")
	warnings := func() int { return logs.FilterMessage("a changed secret cannot be read; the last one stays").Len() }
	replace(t, path, "\n")
	waittest.Until(t, func() bool { return v.Get() != "first" || warnings() == 1 }, "no warning about an empty file")
	require.NoError(t, os.Remove(path))
	waittest.Until(t, func() bool { return v.Get() != "first" || warnings() == 2 }, "no warning about a missing file")
	require.Equal(t, "first", v.Get())
	for _, line := range logs.All() {
		require.Equal(t, "file:"+path, line.ContextMap()["reference"])
	}
	replace(t, path, "second")
	waittest.Until(t, func() bool { return v.Get() == "second" }, "the file is not read when it is back")
}

// A file that is being written is read when it has not changed for a second.
func TestFileThatIsBeingWrittenIsNotRead(t *testing.T) {
	t.Parallel()
	v, path, _ := secretFile(t, "whole")
	began := time.Now()
	require.NoError(t, os.WriteFile(path, []byte("ha"), 0o600))
	waittest.Until(t, func() bool { return v.Get() == "ha" }, "the file is not read at all")
	require.GreaterOrEqual(t, time.Since(began), time.Second)
}

func TestDerivedFollowsTheSecret(t *testing.T) {
	t.Parallel()
	v, path, logs := secretFile(t, "1")
	d, err := secrets.Derive(v, func(s string) (string, error) {
		if s == "bad" {
			return "", errors.New("is bad")
		}
		return "derived " + s, nil
	})
	require.NoError(t, err)
	require.Equal(t, "derived 1", d.Get())
	replace(t, path, "bad")
	waittest.Until(t, func() bool { return v.Get() == "bad" }, "the file is not read again")
	require.Equal(t, "derived 1", d.Get())
	replace(t, path, "2")
	waittest.Until(t, func() bool { return d.Get() == "derived 2" }, "it is not derived again")
	_, err = secrets.Derive(secrets.Plain("bad"), func(string) (int, error) { return 0, errors.New("is bad") })
	require.ErrorContains(t, err, "is bad")
	require.NotEmpty(t, logs.All())
}

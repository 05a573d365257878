package devstack

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// runAs returns the user to run PostgreSQL as, since PostgreSQL refuses to run as root. Nil means the current
// user.
func runAs() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil //nolint:nilnil // nil means the current user
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, errors.New("PostgreSQL does not run as root, and there is no user postgres to run it as: " +
			"apt-get install postgresql makes one, or start souk as an ordinary user")
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user postgres: %w", err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user postgres: %w", err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// traversable checks that the user can reach dir. The error names the folder that denies access.
func traversable(dir string, as *syscall.Credential) error {
	if as == nil {
		return nil
	}
	for at := dir; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			return fmt.Errorf("data directory: %w", err)
		}
		if !mayPass(info, as) {
			return fmt.Errorf(
				"PostgreSQL does not run as root but as user postgres, who may not pass through %s (mode %04o): "+
					"choose a data directory elsewhere, or chmod o+x %s",
				at,
				info.Mode().Perm(),
				at,
			)
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}

func mayPass(info os.FileInfo, as *syscall.Credential) bool {
	mode := info.Mode().Perm()
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return true
	case stat.Uid == as.Uid:
		return mode&0o100 != 0
	case stat.Gid == as.Gid:
		return mode&0o010 != 0
	default:
		return mode&0o001 != 0
	}
}

// ownedDir creates dir, private to the user that the server runs as.
func ownedDir(dir string, as *syscall.Credential) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return chown(dir, as)
}

func chown(name string, as *syscall.Credential) error {
	if as == nil {
		return nil
	}
	return os.Chown(name, int(as.Uid), int(as.Gid))
}

// TempDir creates a temporary directory that is usable as a data directory: a server that runs as another
// user can reach its own folder in it. The caller removes it.
func TempDir() (string, error) { return tempDir("") }

// memoryDir is Linux's file system in memory.
const memoryDir = "/dev/shm"

// MemoryTempDir is [TempDir] in memory, for servers of tests. Tests create and drop a database each,
// with 300 files. On ext4 the kernel spends as much time on these files as the server on everything else. The folder is
// on disk if TMPDIR is set, or if less than 2 GiB of memory are left for it.
func MemoryTempDir() (string, error) {
	const enough = 2 << 30
	var fs syscall.Statfs_t
	if os.Getenv("TMPDIR") != "" || syscall.Statfs(memoryDir, &fs) != nil || fs.Bavail*uint64(fs.Bsize) < enough {
		return TempDir()
	}
	return tempDir(memoryDir)
}

func tempDir(parent string) (string, error) {
	dir, err := os.MkdirTemp(parent, "souk-")
	if err != nil {
		return "", fmt.Errorf("temporary directory: %w", err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		return "", errors.Join(fmt.Errorf("temporary directory: %w", err), os.Remove(dir))
	}
	return dir, nil
}

// Reachable checks that a PostgreSQL started by this process can keep its data below dir. If the process runs as
// root, PostgreSQL runs as another user, who must be able to traverse every parent folder. The error names the
// folder that denies access.
func Reachable(dir string) error {
	as, err := runAs()
	if err != nil {
		return err
	}
	return traversable(dir, as)
}

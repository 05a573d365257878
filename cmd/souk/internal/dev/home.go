package dev

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"souk/pkg/audit"
	"souk/pkg/devstack"
	"souk/pkg/identity"
	"souk/pkg/natsauth"
)

// home is the data directory of souk dev.
type home struct {
	dir     string
	lock    *devstack.DirLock
	secrets ownSecrets
	// ephemeral reports whether close removes the directory's content.
	ephemeral bool
	// made reports whether this run created the directory. Then close removes an ephemeral directory itself, too.
	made bool
}

// ownSecrets are generated once and stored, so that sessions, tokens and signatures survive a restart.
type ownSecrets struct {
	Identity  string `json:"identity"`
	Auth      string `json:"auth"`
	OIDCAdmin string `json:"oidcAdmin"`
	Webhook   string `json:"webhook"`
}

func (s *ownSecrets) fields() map[string]*string {
	return map[string]*string{
		"identity":  &s.Identity,
		"auth":      &s.Auth,
		"oidcAdmin": &s.OIDCAdmin,
		"webhook":   &s.Webhook,
	}
}

// identity returns the seed of all keys of services.
func (s *ownSecrets) identity() ([]byte, error) { return base64.StdEncoding.DecodeString(s.Identity) }

// operatorKey returns the key with which commands connect to NATS, in base64.
func (s *ownSecrets) operatorKey() (string, error) {
	seed, err := s.identity()
	return base64.StdEncoding.EncodeToString(identity.DeriveKey(seed, natsauth.Operator).Seed()), err
}

// keyringKey returns the key that wraps the keys of personal data, in base64. It follows from the seed, which data
// directories of earlier versions have, too.
func (s *ownSecrets) keyringKey() string {
	mac := hmac.New(sha256.New, []byte(s.Identity))
	mac.Write([]byte("souk dev keyring 1"))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// auditKey returns the public key of the audit trail's checkpoints, in base64.
func (s *ownSecrets) auditKey() (string, error) {
	seed, err := s.identity()
	if err != nil {
		return "", err
	}
	key, err := audit.DeriveKey(seed)
	if err != nil {
		return "", err
	}
	public, _ := key.Public().(ed25519.PublicKey)
	return base64.StdEncoding.EncodeToString(public), nil
}

// natsKeys returns the keys of the auth callout.
func (s *ownSecrets) natsKeys() (natsauth.Keys, error) {
	seed, err := s.identity()
	if err != nil {
		return natsauth.Keys{}, err
	}
	return natsauth.DeriveKeys(seed)
}

// openHome locks the data directory and loads its secrets. An ephemeral directory must be empty, because close
// removes its content.
func openHome(dir string, ephemeral bool) (_ *home, err error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	h := &home{dir: abs, ephemeral: ephemeral}
	if _, err := os.Stat(abs); errors.Is(err, os.ErrNotExist) {
		h.made = true
	}
	if _, locked := devstack.Locked(abs); ephemeral && !locked { // if it is locked, Lock's error says by whom
		if err := holdsNothing(abs, ""); err != nil {
			return nil, err
		}
	}
	if h.lock, err = devstack.Lock(abs); err != nil {
		return nil, err
	}
	if ephemeral {
		if err := holdsNothing(abs, devstack.LockName); err != nil { // another run used it after the first check
			return nil, errors.Join(err, h.lock.Unlock())
		}
	}
	if err := h.loadSecrets(); err != nil {
		return nil, errors.Join(err, h.close())
	}
	return h, nil
}

// holdsNothing fails if the directory holds a file other than ignored. A directory that does not exist is empty.
func holdsNothing(dir, ignored string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	for _, e := range entries {
		if e.Name() != ignored {
			return fmt.Errorf(
				"%s holds files: --ephemeral removes its data directory; name a new one with --data-dir", dir,
			)
		}
	}
	return nil
}

func (h *home) path(name string) string { return filepath.Join(h.dir, name) }

func (h *home) loadSecrets() error {
	raw, err := os.ReadFile(h.path("secrets.json"))
	if err == nil {
		if err := json.Unmarshal(raw, &h.secrets); err != nil {
			return fmt.Errorf("%s is damaged: %w", h.path("secrets.json"), err)
		}
		for name, value := range h.secrets.fields() {
			if *value == "" {
				return fmt.Errorf("%s is damaged: %s is missing or empty; put the file back from a copy, "+
					"or move the data directory away to begin anew", h.path("secrets.json"), name)
			}
		}
		return nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, s := range h.secrets.fields() {
		var b [32]byte
		_, _ = rand.Read(b[:]) // crypto/rand never fails
		*s = base64.StdEncoding.EncodeToString(b[:])
	}
	return writeJSON(h.path("secrets.json"), h.secrets)
}

// writeJSON replaces a file atomically. Only its owner may read it.
func writeJSON(path string, v any) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", raw, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (h *home) publish(s *State) error { return writeJSON(h.path("dev.json"), s) }

// outsideBase holds PostgreSQL's data if it can't be in the data directory.
const outsideBase = "/var/lib/souk"

// ownerFile is a file in each folder below outsideBase. It holds the path of the data directory that the folder
// belongs to.
const ownerFile = "owner"

// postgresDir returns the folder of PostgreSQL's data. It is in the data directory if the user who runs PostgreSQL
// can reach that. Otherwise (the data directory is in root's home, say) it is a folder under /var/lib/souk, whose path
// is stored in postgres.path.
func (h *home) postgresDir() (string, error) {
	if raw, err := os.ReadFile(h.path("postgres.path")); err == nil {
		return string(raw), h.own(string(raw))
	}
	inside := h.path("postgres")
	if devstack.Reachable(h.dir) == nil {
		return inside, nil
	}
	if err := os.MkdirAll(outsideBase, 0o755); err != nil { //nolint:gosec // PostgreSQL passes through
		return inside, nil //nolint:nilerr // StartPostgres reports why the data directory can't be used
	}
	outside, err := os.MkdirTemp(outsideBase, "dev-")
	if err != nil {
		return "", fmt.Errorf("a folder for PostgreSQL: %w", err)
	}
	err = os.Chmod(outside, 0o711) //nolint:gosec // PostgreSQL passes through; its data folder is closed
	return outside, errors.Join(err, os.WriteFile(h.path("postgres.path"), []byte(outside), 0o600), h.own(outside))
}

// own writes the ownerFile of a folder under /var/lib/souk.
func (h *home) own(outside string) error {
	if _, err := os.Stat(outside); errors.Is(err, os.ErrNotExist) { //nolint:gosec // the path is from our own file
		return nil // StartPostgres creates the folder again
	}
	return os.WriteFile(filepath.Join(outside, ownerFile), []byte(h.dir), 0o600) //nolint:gosec // as in close
}

// removeOrphans removes PostgreSQL's folders below base that no data directory uses: their data directory is gone,
// or uses another folder now.
func removeOrphans(base string) error {
	owners, _ := filepath.Glob(filepath.Join(base, "dev-*", ownerFile)) // the pattern is valid
	var errs []error
	for _, file := range owners {
		dir := filepath.Dir(file)
		owner, err := os.ReadFile(file) //nolint:gosec // own wrote it
		if err != nil || len(owner) == 0 {
			continue
		}
		current, err := os.ReadFile(filepath.Join(string(owner), "postgres.path")) //nolint:gosec // as above
		if err != nil && !errors.Is(err, os.ErrNotExist) || err == nil && string(current) == dir {
			continue
		}
		if _, locked := devstack.Locked(dir); !locked {
			errs = append(errs, os.RemoveAll(dir))
		}
	}
	return errors.Join(errs...)
}

// close unlocks the directory. It removes the content of an ephemeral one, and the directory itself if this run
// created it.
func (h *home) close() error {
	err := os.Remove(h.path("dev.json"))
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if h.ephemeral {
		if raw, rerr := os.ReadFile(h.path("postgres.path")); rerr == nil {
			err = errors.Join(err, os.RemoveAll(string(raw))) //nolint:gosec // postgresDir wrote it
		}
		err = errors.Join(err, h.empty())
	}
	return errors.Join(err, h.lock.Unlock())
}

func (h *home) empty() error {
	if h.made {
		return os.RemoveAll(h.dir)
	}
	entries, err := os.ReadDir(h.dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(h.path(e.Name())))
	}
	return err
}

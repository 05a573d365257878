package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"souk/cmd/souk/internal/api"
	"souk/pkg/devstack"
)

// devFlags are the flags by which commands find a running souk dev.
type devFlags struct{ dataDir string }

// devState is what a running souk dev tells other commands, in dev.json of its data directory (only its
// user may read it).
type devState struct {
	PID       int               `json:"pid"`
	URL       string            `json:"url"`
	Admin     string            `json:"admin"`
	OIDC      string            `json:"oidc"`
	OIDCAdmin string            `json:"oidcAdmin"` // the secret of the provider's /dev/token
	Control   string            `json:"control"`
	Transport string            `json:"transport"`
	NATS      natsAccess        `json:"nats"`
	Redis     string            `json:"redis"`
	Databases map[string]string `json:"databases"` // URL by service
}

type natsAccess struct {
	URL      string `json:"url"`
	User     string `json:"user"`
	Password string `json:"password"`
}

// running reads the state of the souk dev that runs on the data directory.
func (f *devFlags) running() (*devState, error) {
	path := filepath.Join(f.dataDir, "dev.json")
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("no souk dev runs on %s: start it with `souk dev`, or name its data directory with --data-dir", f.dataDir)
	}
	if err != nil {
		return nil, err
	}
	var s devState
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", path, err)
	}
	lock, err := devstack.Lock(f.dataDir)
	if err == nil { // nobody has it: the process that wrote the file is gone
		return nil, errors.Join(fmt.Errorf("souk dev is not running any more on %s: start it again with `souk dev`", f.dataDir), lock.Unlock())
	}
	return &s, nil
}

// apiFlags say which API a command calls, and as whom.
type apiFlags struct{ url, token string }

func (f *apiFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.url, "url", os.Getenv("SOUK_URL"), "address of the API; default: the running souk dev's")
	cmd.Flags().StringVar(&f.token, "token", os.Getenv("SOUK_TOKEN"), "bearer token; default: an operator's of the running souk dev")
}

// client returns a client of the API that the flags name.
func (f *apiFlags) client(ctx context.Context, dev *devFlags) (*api.Client, error) {
	url, token := f.url, f.token
	if url != "" && token != "" {
		return api.New(url, token), nil
	}
	state, err := dev.running()
	if err != nil {
		if url == "" {
			return nil, fmt.Errorf("%w; or name an API with --url and --token", err)
		}
		return nil, fmt.Errorf("a token is needed: give it with --token (%w)", err)
	}
	if url == "" {
		url = state.URL
	}
	if token == "" {
		if token, err = devToken(ctx, state, "operator@souk.test", []string{"operator"}); err != nil {
			return nil, err
		}
	}
	return api.New(url, token), nil
}

// home is the data directory of souk dev.
type home struct {
	dir     string
	lock    *devstack.DirLock
	secrets devSecrets
}

// devSecrets are made once and kept, so that sessions, tokens and signatures survive a restart.
type devSecrets struct {
	Identity     string `json:"identity"`
	Auth         string `json:"auth"`
	OIDCAdmin    string `json:"oidcAdmin"`
	Webhook      string `json:"webhook"`
	NATSPassword string `json:"natsPassword"`
}

func openHome(dir string) (*home, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	lock, err := devstack.Lock(abs)
	if err != nil {
		return nil, err
	}
	h := &home{dir: abs, lock: lock}
	if err := h.loadSecrets(); err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	return h, nil
}

func (h *home) path(name string) string { return filepath.Join(h.dir, name) }

func (h *home) loadSecrets() error {
	raw, err := os.ReadFile(h.path("secrets.json"))
	if err == nil {
		if err := json.Unmarshal(raw, &h.secrets); err != nil {
			return fmt.Errorf("%s is damaged: %w", h.path("secrets.json"), err)
		}
		return nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, s := range []*string{&h.secrets.Identity, &h.secrets.Auth, &h.secrets.OIDCAdmin, &h.secrets.Webhook, &h.secrets.NATSPassword} {
		var b [32]byte
		_, _ = rand.Read(b[:]) // never fails: crypto/rand
		*s = base64.StdEncoding.EncodeToString(b[:])
	}
	return writeJSON(h.path("secrets.json"), h.secrets)
}

// writeJSON replaces a file as a whole, readable by its owner alone.
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

func (h *home) publish(s *devState) error { return writeJSON(h.path("dev.json"), s) }

// postgresDir is where PostgreSQL keeps its data: in the data directory, or, where the user as whom PostgreSQL runs
// can't get there (root's home, say), in a folder of its own under /var/lib/souk, to which postgres.path points.
func (h *home) postgresDir() (string, error) {
	if raw, err := os.ReadFile(h.path("postgres.path")); err == nil {
		return string(raw), nil
	}
	inside := h.path("postgres")
	if devstack.Reachable(h.dir) == nil {
		return inside, nil
	}
	const base = "/var/lib/souk"
	if err := os.MkdirAll(base, 0o755); err != nil { //nolint:gosec // the user as whom PostgreSQL runs passes through
		return inside, nil //nolint:nilerr // StartPostgres says what is in the way of the first choice
	}
	outside, err := os.MkdirTemp(base, "dev-")
	if err != nil {
		return "", fmt.Errorf("a folder for PostgreSQL: %w", err)
	}
	err = os.Chmod(outside, 0o755) //nolint:gosec // the user as whom PostgreSQL runs passes through; its own folder within is closed
	return outside, errors.Join(err, os.WriteFile(h.path("postgres.path"), []byte(outside), 0o600))
}

// close gives the directory back; remove takes it away with all that is in it.
func (h *home) close(remove bool) error {
	err := os.Remove(h.path("dev.json"))
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if remove {
		if raw, rerr := os.ReadFile(h.path("postgres.path")); rerr == nil {
			err = errors.Join(err, os.RemoveAll(string(raw))) //nolint:gosec // postgresDir wrote it, readable and writable by its owner alone
		}
		err = errors.Join(err, os.RemoveAll(h.dir))
	}
	return errors.Join(err, h.lock.Unlock())
}

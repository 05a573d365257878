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

// devFlags are the flags with which commands find a running souk dev.
type devFlags struct{ dataDir string }

// devState describes a running souk dev to other commands. It is stored as dev.json in the data directory, and only
// the user who runs souk dev may read it.
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
		return nil, &notRunning{fmt.Sprintf("no souk dev runs on %s: start it with `souk dev`, "+
			"or name its data directory with --data-dir", f.dataDir)}
	}
	if err != nil {
		return nil, fmt.Errorf("it can't be told whether souk dev runs on %s: %w; ask as the user who started it",
			f.dataDir, err)
	}
	var s devState
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", path, err)
	}
	if _, locked := devstack.Locked(f.dataDir); !locked { // the process that wrote the file is gone
		return nil, &notRunning{
			fmt.Sprintf("souk dev is not running any more on %s: start it again with `souk dev`", f.dataDir),
		}
	}
	return &s, nil
}

// notRunning is the error that no souk dev runs on the data directory.
type notRunning struct{ text string }

func (e *notRunning) Error() string { return e.text }

// apiFlags say which API a command calls, and with which token.
type apiFlags struct{ url, token string }

func (f *apiFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.url, "url", os.Getenv("SOUK_URL"), "address of the API; default: the running souk dev's")
	cmd.Flags().
		StringVar(&f.token, "token", os.Getenv("SOUK_TOKEN"), "bearer token; default: an operator's of the running souk dev")
}

// client returns a client of the API that the flags name. What the flags leave open comes from the running souk dev.
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
	// ephemeral reports whether close removes the directory's content.
	ephemeral bool
	// made reports whether this run created the directory. Then close removes an ephemeral directory itself, too.
	made bool
}

// devSecrets are generated once and stored, so that sessions, tokens and signatures survive a restart.
type devSecrets struct {
	Identity     string `json:"identity"`
	Auth         string `json:"auth"`
	OIDCAdmin    string `json:"oidcAdmin"`
	Webhook      string `json:"webhook"`
	NATSPassword string `json:"natsPassword"`
}

func (s *devSecrets) fields() map[string]*string {
	return map[string]*string{
		"identity":     &s.Identity,
		"auth":         &s.Auth,
		"oidcAdmin":    &s.OIDCAdmin,
		"webhook":      &s.Webhook,
		"natsPassword": &s.NATSPassword,
	}
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
				"%s holds files: --ephemeral removes its data directory; name a new one with --data-dir",
				dir,
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

func (h *home) publish(s *devState) error { return writeJSON(h.path("dev.json"), s) }

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

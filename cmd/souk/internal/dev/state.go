package dev

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"souk/pkg/devstack"
	"souk/pkg/module"
	"souk/pkg/secrets"
	"souk/pkg/tlsconf"
)

// State describes a running souk dev to other commands. It is stored as dev.json in the data directory, and only
// the user who runs souk dev may read it.
type State struct {
	PID       int               `json:"pid"`
	URL       string            `json:"url"`
	Admin     string            `json:"admin"`
	OIDC      string            `json:"oidc"`
	OIDCAdmin string            `json:"oidcAdmin"` // the secret of the provider's /dev/token
	Control   string            `json:"control"`
	Transport string            `json:"transport"`
	NATS      NATSAccess        `json:"nats"`
	Redis     string            `json:"redis"`
	Databases map[string]string `json:"databases"` // URL by service
	// Documents says where the documents are, which SOUK_DOCUMENTS_URL sets.
	Documents DocumentsAccess `json:"documents"`
	// AuditKey is the public key (base64) of the audit trail's checkpoints.
	AuditKey string `json:"auditKey"`
	// TLS are the files of the commands of operators. Nil: there is no TLS.
	TLS *tlsconf.Config `json:"tls,omitempty"`
}

// DocumentsAccess says how to connect to MongoDB. Without a URL, documents are in PostgreSQL.
type DocumentsAccess struct {
	URL       string            `json:"url"`
	Passwords map[string]string `json:"passwords"` // by service
}

// Config returns the configuration that has it.
func (a DocumentsAccess) Config() module.DocumentsConfig {
	return module.DocumentsConfig{URL: secrets.Plain(a.URL), Passwords: secrets.PlainMap(a.Passwords)}
}

// NATSAccess says how to connect to the NATS of souk dev.
type NATSAccess struct {
	URL string `json:"url"`
	// OperatorKey is the key (base64) of natsauth.Operator.
	OperatorKey string `json:"operatorKey"`
}

// Process describes a process of souk dev. Name is its service, or souk if it runs all services.
type Process struct {
	Name string `json:"name"`
	PID  int    `json:"pid"`
	// Admin is the address of its listener for health, metrics and profiles.
	Admin string `json:"admin"`
}

// Running reads the state of the souk dev that runs on the data directory.
//
// Errors: [NotRunningError].
func Running(dataDir string) (*State, error) {
	path := filepath.Join(dataDir, "dev.json")
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, &NotRunningError{fmt.Sprintf("no souk dev runs on %s: start it with `souk dev`, "+
			"or name its data directory with --data-dir", dataDir)}
	}
	if err != nil {
		return nil, fmt.Errorf("it can't be told whether souk dev runs on %s: %w; ask as the user who started it",
			dataDir, err)
	}
	var s State
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", path, err)
	}
	if _, locked := devstack.Locked(dataDir); !locked { // the process that wrote the file is gone
		return nil, &NotRunningError{
			fmt.Sprintf("souk dev is not running any more on %s: start it again with `souk dev`", dataDir),
		}
	}
	return &s, nil
}

// NotRunningError is the error that no souk dev runs on the data directory.
type NotRunningError struct{ text string }

func (e *NotRunningError) Error() string { return e.text }

// operator is the user as whom commands call a running souk dev.
const operator = "operator@souk.test"

// OperatorToken gets a bearer token of an operator.
func (s *State) OperatorToken(ctx context.Context) (string, error) {
	return s.Token(ctx, operator, []string{"operator"})
}

// Token gets a bearer token from the OpenID provider. The provider creates the user on first use.
func (s *State) Token(ctx context.Context, email string, roles []string) (string, error) {
	body, err := json.Marshal(map[string]any{"email": email, "roles": roles})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.OIDC+"/dev/token", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+s.OIDCAdmin)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("the development OpenID provider can't be reached: %w", err)
	}
	defer func() { _ = res.Body.Close() }() // the body is only read
	raw, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the development OpenID provider refused: %s", bytes.TrimSpace(raw))
	}
	var answer struct {
		Token string `json:"accessToken"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil || answer.Token == "" {
		return "", errors.New("the development OpenID provider answered without a token")
	}
	return answer.Token, nil
}

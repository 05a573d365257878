package secrets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"
	"go.uber.org/zap"
)

// VaultConfig says where Vault is, and how the process signs in there: with a token from a file, as the Vault agent
// writes it, or as a service account of Kubernetes.
type VaultConfig struct {
	// Addr is the URL of Vault. Default: empty, which refuses references to Vault.
	Addr string `yaml:"addr"`
	// Namespace is that of Vault Enterprise. Default: empty.
	Namespace string `yaml:"namespace"`
	// CAFile holds the authorities that sign Vault's certificate. Empty: those of the system.
	CAFile string `yaml:"ca_file"`
	// TokenFile holds a token, which its writer keeps valid. Empty: the process signs in with Role.
	TokenFile string `yaml:"token_file"`
	// Role is that of Vault's Kubernetes authentication.
	Role string `yaml:"role"`
	// AuthPath is where Vault has its Kubernetes authentication. Default: auth/kubernetes.
	AuthPath string `yaml:"auth_path"`
	// JWTFile holds the service account's token. Default: where Kubernetes puts it.
	JWTFile string `yaml:"jwt_file"`
	// Refresh is how often values without a lease are read again. Default: 30 s; at least 1 s.
	Refresh time.Duration `yaml:"refresh"`
	// Timeout bounds one request. Default: 5 s.
	Timeout time.Duration `yaml:"timeout"`
}

// DefaultVault returns the default configuration.
func DefaultVault() VaultConfig {
	return VaultConfig{
		AuthPath: "auth/kubernetes",
		JWTFile:  "/var/run/secrets/kubernetes.io/serviceaccount/token",
		Refresh:  30 * time.Second,
		Timeout:  5 * time.Second,
	}
}

// Validate checks the configuration.
func (c VaultConfig) Validate() error {
	switch {
	case c.Addr != "" && !strings.HasPrefix(c.Addr, "https://") && !strings.HasPrefix(c.Addr, "http://"):
		return errors.New("addr: must be a URL such as https://vault:8200")
	case c.Addr != "" && (c.TokenFile == "") == (c.Role == ""):
		return errors.New("token_file: set token_file or role, and not both")
	case c.Refresh < time.Second:
		return errors.New("refresh: must be at least 1s")
	case c.Timeout <= 0:
		return errors.New("timeout: must be more than zero")
	}
	return nil
}

const (
	// loginPause is the least time between two sign-ins after a refusal.
	loginPause = time.Minute
	// retryFirst and retryMost bound the wait before something is tried again that failed.
	retryFirst = time.Second
	retryMost  = 30 * time.Second
)

// vault reads paths of Vault, and keeps its token and its leases valid.
type vault struct {
	config VaultConfig
	client *api.Client
	log    func() *zap.Logger
	token  *file // nil: the process signs in with a role
	jwt    *file // of the service account

	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu       sync.Mutex // guards what is below
	loggedIn time.Time
	paths    []*vaultPath
}

func openVault(c VaultConfig, log func() *zap.Logger) (*vault, error) {
	if c.Addr == "" {
		return nil, errors.New("vault.addr is not set: give the address of Vault")
	}
	config := api.DefaultConfig()
	if config.Error != nil {
		return nil, config.Error
	}
	config.Address = c.Addr
	config.Timeout = c.Timeout
	if c.CAFile != "" {
		if err := config.ConfigureTLS(&api.TLSConfig{CACert: c.CAFile}); err != nil {
			return nil, fmt.Errorf("vault.ca_file: %w", reason(err))
		}
	}
	client, err := api.NewClient(config)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	client.ClearToken() // of the environment
	client.ClearNamespace()
	if c.Namespace != "" {
		client.SetNamespace(c.Namespace)
	}
	v := &vault{config: c, client: client, log: log}
	v.ctx, v.cancel = context.WithCancel(context.Background())
	if c.TokenFile != "" {
		if v.token, err = openFile(c.TokenFile, log); err != nil {
			return nil, fmt.Errorf("vault.token_file: %w", err)
		}
		return v, nil
	}
	if v.jwt, err = openFile(c.JWTFile, log); err != nil {
		return nil, fmt.Errorf("vault.jwt_file: %w", err)
	}
	auth, err := v.login(v.ctx)
	if err != nil {
		return nil, fmt.Errorf("sign in with vault.role: %w", explain(err))
	}
	v.work.Go(func() { v.keepSignedIn(auth) })
	return v, nil
}

// login signs in as a service account of Kubernetes.
func (v *vault) login(ctx context.Context) (*api.Secret, error) {
	v.mu.Lock()
	v.loggedIn = time.Now()
	v.mu.Unlock()
	auth, err := v.client.Logical().WriteWithContext(ctx, strings.Trim(v.config.AuthPath, "/")+"/login",
		map[string]any{"role": v.config.Role, "jwt": v.jwt.current()[""]})
	if err != nil {
		return nil, err
	}
	if auth == nil || auth.Auth == nil || auth.Auth.ClientToken == "" {
		return nil, errors.New("Vault gave no token") //nolint:staticcheck // a name
	}
	v.client.SetToken(auth.Auth.ClientToken)
	return auth, nil
}

// keepSignedIn renews the token, and signs in again before it ends.
func (v *vault) keepSignedIn(auth *api.Secret) {
	for {
		ended := v.watch(auth)
		select {
		case <-v.ctx.Done():
			return
		case <-ended:
		}
		v.retry("Vault refuses to sign the process in", func(ctx context.Context) (err error) {
			auth, err = v.login(ctx)
			return err
		})
		if v.ctx.Err() != nil {
			return
		}
	}
}

// watch renews a lease or a token, as long as Vault allows it. The channel is closed when the end is near.
func (v *vault) watch(secret *api.Secret) <-chan struct{} {
	ended := make(chan struct{})
	w, err := v.client.NewLifetimeWatcher(&api.LifetimeWatcherInput{Secret: secret})
	if err != nil {
		v.log().Error("a lease of Vault cannot be renewed", zap.Error(explain(err)))
		return ended // it is read again when the token changes
	}
	v.work.Go(w.Start)
	v.work.Go(func() {
		defer w.Stop()
		for {
			select {
			case <-v.ctx.Done():
				return
			case <-w.RenewCh():
			case <-w.DoneCh(): //nolint:errcheck // it ends, with or without an error
				close(ended)
				return
			}
		}
	})
	return ended
}

// retry calls f until it succeeds or the store is closed. It logs the first failure.
func (v *vault) retry(message string, f func(context.Context) error) {
	for wait, first := retryFirst, true; ; wait, first = min(2*wait, retryMost), false {
		err := f(v.ctx)
		if err == nil || v.ctx.Err() != nil {
			return
		}
		if first {
			v.log().Warn(message, zap.Error(explain(err)))
		}
		select {
		case <-v.ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// useToken gives the client the token of the file, and returns the token that the client has now.
func (v *vault) useToken() string {
	if v.token != nil {
		if now := v.token.current()[""]; now != v.client.Token() {
			v.client.SetToken(now)
		}
	}
	return v.client.Token()
}

// read reads a path. A token that is refused is replaced, if the process can sign in.
func (v *vault) read(ctx context.Context, path string) (*api.Secret, error) {
	v.useToken()
	secret, err := v.client.Logical().ReadWithContext(ctx, path)
	var refused *api.ResponseError
	if errors.As(err, &refused) && refused.StatusCode == http.StatusForbidden && v.mayLogIn() {
		if _, lerr := v.login(ctx); lerr == nil {
			secret, err = v.client.Logical().ReadWithContext(ctx, path)
		}
	}
	if err != nil {
		return nil, err
	}
	if secret == nil || len(texts(secret)) == 0 {
		return nil, errors.New("Vault has nothing there") //nolint:staticcheck // a name
	}
	return secret, nil
}

func (v *vault) mayLogIn() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.jwt != nil && time.Since(v.loggedIn) >= loginPause
}

// texts returns the values of an answer. An engine of type KV, version 2, puts them one level deeper.
func texts(secret *api.Secret) map[string]string {
	data := secret.Data
	if _, ok := data["metadata"].(map[string]any); ok {
		data, _ = data["data"].(map[string]any) // nil: the version is deleted
	}
	out := map[string]string{}
	for key, v := range data {
		switch v := v.(type) {
		case string:
			out[key] = v
		case json.Number:
			out[key] = v.String()
		}
	}
	return out
}

// close gives the leases back.
func (v *vault) close(ctx context.Context) {
	v.cancel()
	v.work.Wait()
	if v.jwt != nil { // the token's leases end with it
		if err := v.client.Auth().Token().RevokeSelfWithContext(ctx, ""); err != nil {
			v.log().Warn("the token of Vault is not given back; it expires", zap.Error(explain(err)))
		}
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, p := range v.paths {
		if lease := p.now.Load().lease; lease != "" {
			if err := v.client.Sys().RevokeWithContext(ctx, lease); err != nil {
				v.log().
					Warn("a lease of Vault is not given back; it expires", zap.String("reference", kindVault+p.path),
						zap.Error(explain(err)))
			}
		}
	}
}

// explain returns an error of Vault's client without addresses, and cut to a line.
func explain(err error) error {
	var answer *api.ResponseError
	if !errors.As(err, &answer) {
		return err
	}
	const most = 200
	text := strings.Join(strings.Fields(strings.Join(answer.Errors, "; ")), " ")
	if len(text) > most {
		text = text[:most] + "…"
	}
	return fmt.Errorf("Vault answers %d: %s", answer.StatusCode, text) //nolint:staticcheck // a name
}

package secrets

import (
	"context"
	"maps"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/api"
	"go.uber.org/zap"
)

// vaultPath is what Vault has at a path.
type vaultPath struct {
	vault *vault
	path  string
	now   atomic.Pointer[vaultAnswer]
}

// vaultAnswer is an answer to a read.
type vaultAnswer struct {
	secret *api.Secret
	values map[string]string
	lease  string // "": the values have none
	token  string // with which it was read: a lease ends with its token
}

func (v *vault) open(path string) (*vaultPath, error) {
	p := &vaultPath{vault: v, path: path}
	if err := p.fetch(v.ctx); err != nil {
		return nil, explain(err)
	}
	v.mu.Lock()
	v.paths = append(v.paths, p)
	v.mu.Unlock()
	v.work.Go(p.keep)
	return p, nil
}

func (p *vaultPath) current() map[string]string { return p.now.Load().values }

func (p *vaultPath) warn(message, setting string, err error) {
	p.vault.log().
		Warn(message, zap.String("setting", setting), zap.String("reference", kindVault+p.path), zap.Error(err))
}

func (p *vaultPath) fetch(ctx context.Context) error {
	secret, err := p.vault.read(ctx, p.path)
	if err != nil {
		return err
	}
	last := p.now.Load()
	next := &vaultAnswer{
		secret: secret, values: texts(secret), lease: secret.LeaseID, token: p.vault.client.Token(),
	}
	p.now.Store(next)
	if last != nil && !maps.Equal(last.values, next.values) {
		p.vault.log().Info("secret read again", zap.String("reference", kindVault+p.path))
	}
	return nil
}

// keep reads the path again: at each interval if the values have no lease, or else when the lease cannot be renewed any
// further, or its token was replaced. Vault ends the leases of a token with it.
func (p *vaultPath) keep() {
	tick := time.NewTicker(p.vault.config.Refresh)
	defer tick.Stop()
	for {
		var ended <-chan struct{}
		if now := p.now.Load(); now.lease != "" {
			ended = p.vault.watch(now.secret)
		}
		if !p.wait(tick.C, ended) {
			return
		}
		p.vault.retry("Vault does not give "+p.path+"; the last values stay", p.fetch)
	}
}

// wait waits until the path must be read again. It returns false if the store is closed.
func (p *vaultPath) wait(tick <-chan time.Time, ended <-chan struct{}) bool {
	for {
		select {
		case <-p.vault.ctx.Done():
			return false
		case <-ended:
			return true
		case <-tick:
			if ended == nil || p.vault.useToken() != p.now.Load().token {
				return true
			}
		}
	}
}

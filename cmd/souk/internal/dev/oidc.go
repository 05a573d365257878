package dev

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"souk/pkg/devstack/oidcserver"
)

// minOIDCSecret is the shortest secret of POST /dev/token, in bytes.
const minOIDCSecret = 16

// OIDCOptions are the flags of souk dev oidc.
type OIDCOptions struct {
	// DataDir holds the users and the signing key, in the folder oidc.
	DataDir string
	// Listen is the address to listen on, host:port.
	Listen string
	// Issuer is the URL at which browsers and services reach the provider.
	Issuer string
	// SecretFile holds the secret of POST /dev/token.
	SecretFile string
}

// RunOIDC runs the OpenID provider alone until ctx ends. It prints its URL to out.
func RunOIDC(ctx context.Context, o OIDCOptions, out io.Writer) error {
	if o.SecretFile == "" {
		return errors.New("--secret-file is required: a file with the secret of POST /dev/token")
	}
	secret, err := os.ReadFile(o.SecretFile)
	if err != nil {
		return fmt.Errorf("--secret-file: %w", err)
	}
	secret = bytes.TrimSpace(secret)
	if len(secret) < minOIDCSecret {
		return fmt.Errorf("--secret-file: %s holds fewer than %d characters", o.SecretFile, minOIDCSecret)
	}
	p, err := oidcserver.Start(ctx, oidcserver.Options{
		Dir: filepath.Join(o.DataDir, "oidc"), Listen: o.Listen, Issuer: o.Issuer, TokenSecret: string(secret),
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "the OpenID provider is ready on %s\n", p.Issuer())
	<-ctx.Done()
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return p.Stop(ctx)
}

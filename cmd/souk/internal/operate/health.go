package operate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"souk/pkg/config"
	"souk/pkg/module"
)

// healthTimeout is how long an answer may take: less than the timeout of a container's health check.
const healthTimeout = 4 * time.Second

// ReadyURL returns the URL that says whether the process with this configuration is ready.
//
// Errors: invalid_argument.
func ReadyURL(tree *config.Tree) (string, error) {
	var c module.AdminConfig
	if err := tree.Decode("admin", &c); err != nil {
		return "", err
	}
	host, port, err := net.SplitHostPort(c.Addr)
	if err != nil || port == "0" {
		return "", errors.New("admin.addr has no fixed port: set it, or SOUK_ADMIN_ADDR, to an address such as :9090")
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // it listens on every address
	}
	return "http://" + net.JoinHostPort(host, port) + "/health/ready", nil
}

// Health returns nil if the answer to GET address is 2xx, and otherwise an error with the reason. The address is a URL
// with the scheme http or https.
func Health(ctx context.Context, address string) error {
	if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%q is not a URL such as http://127.0.0.1:9090/health/live", address)
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }() // the body is only read
	const most = 4 << 10
	reason, err := io.ReadAll(io.LimitReader(res.Body, most))
	if err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s: %s", address, res.Status, bytes.TrimSpace(reason))
	}
	return nil
}

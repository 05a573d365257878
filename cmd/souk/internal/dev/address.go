package dev

import (
	"fmt"
	"net"
	"strconv"
)

// httpAddress is the address on which souk dev serves the API.
type httpAddress struct {
	addr   string // for net.Listen
	public string // URL for browsers, webhooks and other commands on this machine
	open   bool   // reachable from the network
}

// parseHTTP parses the value of --http, which is host:port.
func parseHTTP(flag string) (httpAddress, error) {
	host, port, err := net.SplitHostPort(flag)
	if err != nil {
		return httpAddress{}, fmt.Errorf("--http is host:port, such as 127.0.0.1:8080, not %q", flag)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return httpAddress{}, fmt.Errorf("--http is host:port, such as 127.0.0.1:8080: %q is no port from 1 to 65535",
			port)
	}
	a := httpAddress{addr: flag, public: "http://" + net.JoinHostPort(host, port), open: true}
	ip := net.ParseIP(host)
	switch {
	case host == "", ip != nil && ip.IsUnspecified():
		a.public = "http://" + net.JoinHostPort("127.0.0.1", port)
	case host == "localhost", ip != nil && ip.IsLoopback():
		a.open = false
	}
	return a, nil
}

// redirects returns the redirect URIs that sign-ins may use: the public address, and loopback on any port.
func (a httpAddress) redirects() []string {
	const callback = "/auth/callback"
	return []string{a.public + callback, "http://127.0.0.1" + callback, "http://localhost" + callback}
}

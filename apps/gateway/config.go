package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"souk/apps/gateway/internal/firewall"
	"souk/apps/gateway/internal/middleware"
	"souk/pkg/config"
)

// Config is the gateway's configuration, section "gateway".
type Config struct {
	// Addr is the listen address. Default 127.0.0.1:8080.
	Addr string `yaml:"addr"`
	// PublicURL is the URL at which browsers reach the gateway, for the sign-in's redirect; empty:
	// http://Addr. With https, cookies are Secure and named __Host-….
	PublicURL string `yaml:"public_url"`
	// Environment is what this souk is: production, staging or development. GET /health/live says it, and souk seed
	// refuses production. Default production.
	Environment string `yaml:"environment"`
	// MaxBody is the largest request body, in bytes. Default 1 MiB; less than 1 KiB is refused.
	MaxBody int64 `yaml:"max_body"`
	// MaxConnections is how many connections may be open, and MaxConnectionsPerAddress how many of one address (with
	// IPv6, each /64) that is not a trusted proxy. More are closed at once. Defaults 10,000 and 1,000; 0: no bound.
	MaxConnections           int `yaml:"max_connections"`
	MaxConnectionsPerAddress int `yaml:"max_connections_per_address"`
	// Timeout bounds a whole request. Default 30 s; 0 is refused.
	Timeout time.Duration `yaml:"timeout"`
	// LameDuck is how long the gateway serves on after it begins to stop and is no longer ready, so that load balancers
	// notice. Default 3 s; 0: it stops at once, which may cut connections.
	LameDuck time.Duration `yaml:"lame_duck"`
	// DrainTimeout bounds the requests in flight when the gateway stops. Default 15 s; 0 is refused.
	DrainTimeout time.Duration `yaml:"drain_timeout"`
	// Origins are the origins whose pages may call the API with the user's cookie (CORS and cross-origin
	// protection), such as https://shop.example, or http://localhost:* for any port. Default none.
	Origins []string `yaml:"origins"`
	// LoopbackOnly refuses requests whose Host is neither localhost nor a loopback address. Default false.
	LoopbackOnly bool `yaml:"loopback_only"`
	// TrustedProxies are the networks whose X-Forwarded-For is trusted. Default none.
	TrustedProxies []string `yaml:"trusted_proxies"`
	// CountryHeader is a header in which a CDN names the country of an address, such as CF-IPCountry or
	// CloudFront-Viewer-Country. It is trusted from TrustedProxies alone. Empty: countries are unknown, and impossible
	// travel is not detected.
	CountryHeader string `yaml:"country_header"`
	// Cache configures the response cache.
	Cache CacheConfig `yaml:"cache"`
	// CallerRate limits each signed-in caller. AddressRate limits each address (with IPv6, each /64) of all
	// other callers, including guests.
	CallerRate  RateConfig `yaml:"caller_rate"`
	AddressRate RateConfig `yaml:"address_rate"`
	// IdempotencyTTL is how long answers are kept for retries, if the contract asks for an Idempotency-Key or the call
	// creates something. Default 7 days; 0 is refused.
	IdempotencyTTL time.Duration `yaml:"idempotency_ttl"`
	// IdempotencyShortTTL is how long the answers to all other requests with a key are kept. Default 5 min; 0 is
	// refused.
	IdempotencyShortTTL time.Duration `yaml:"idempotency_short_ttl"`
	// IdempotencyQuota bounds the answers that are kept for each signed-in caller, and for each address of all others,
	// in bytes. Beyond it, only status and Location are kept, for IdempotencyShortTTL. Default 8 MiB, at most 512 MiB;
	// 0: no bound.
	IdempotencyQuota int `yaml:"idempotency_quota"`
	// Firewall examines requests with the OWASP Core Rule Set.
	Firewall firewall.Config `yaml:"firewall"`
	// DevURL is where /dev/… is forwarded: the tools of `souk dev`. Empty: /dev does not exist.
	DevURL string `yaml:"dev_url"`
}

// CacheConfig configures the response cache.
type CacheConfig struct {
	// MaxBytes bounds the cache's memory. Default 32 MiB; 0 turns it off.
	MaxBytes int `yaml:"max_bytes"`
	// StaleIfError is how old an answer may be that is sent while its service is unavailable. Default 5 min; 0: none is
	// sent.
	StaleIfError time.Duration `yaml:"stale_if_error"`
}

// RateConfig is a rate limit.
type RateConfig struct {
	// PerSecond is the allowed number of requests per second; 0 turns the limit off. Default 100 for
	// CallerRate, 200 for AddressRate.
	PerSecond int `yaml:"per_second"`
	// Burst is the allowed number of requests at once; 0: two seconds' worth. Default 300 for CallerRate, 600
	// for AddressRate.
	Burst int `yaml:"burst"`
}

// Default returns the default configuration of a gateway that runs alone.
func Default() Config {
	return Config{
		Addr:           "127.0.0.1:8080",
		Environment:    "production",
		MaxBody:        1 << 20,
		MaxConnections: 10_000, MaxConnectionsPerAddress: 1_000,
		Timeout:        30 * time.Second,
		LameDuck:       3 * time.Second,
		DrainTimeout:   15 * time.Second,
		Cache:          CacheConfig{MaxBytes: 32 << 20, StaleIfError: 5 * time.Minute},
		CallerRate:     RateConfig{PerSecond: 100, Burst: 300},
		AddressRate:    RateConfig{PerSecond: 200, Burst: 600},
		IdempotencyTTL: 7 * 24 * time.Hour, IdempotencyShortTTL: 5 * time.Minute, IdempotencyQuota: 8 << 20,
		Firewall: firewall.DefaultConfig(),
	}
}

// Validate returns all problems of the configuration, joined.
func (c *Config) Validate() error {
	var problems []error
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if err := config.CheckListenAddr(c.Addr); err != nil {
		wrong("addr: %w", err)
	}
	if !slices.Contains([]string{"production", "staging", "development"}, c.Environment) {
		wrong("environment: %q is neither production, staging nor development", c.Environment)
	}
	if c.MaxConnections < 0 || c.MaxConnectionsPerAddress < 0 {
		wrong("max_connections, max_connections_per_address: must not be negative; 0 sets no bound")
	}
	if c.MaxBody < 1024 {
		wrong("max_body: must be at least 1024 bytes")
	}
	if c.Timeout <= 0 || c.DrainTimeout <= 0 || c.IdempotencyTTL <= 0 || c.IdempotencyShortTTL <= 0 {
		wrong("timeout, drain_timeout, idempotency_ttl, idempotency_short_ttl: must be positive")
	}
	const mostQuota = 512 << 20
	if c.IdempotencyQuota < 0 || c.IdempotencyQuota > mostQuota {
		wrong("idempotency_quota: must be from 0 to %d bytes; 0 sets no bound", mostQuota)
	}
	if c.LameDuck < 0 {
		wrong("lame_duck: must not be negative; 0 stops at once")
	}
	if err := c.Firewall.Validate(); err != nil {
		wrong("firewall.%w", err)
	}
	if strings.ContainsAny(c.CountryHeader, " :\r\n\t") {
		wrong("country_header: %q is not the name of a header such as CF-IPCountry", c.CountryHeader)
	}
	if c.Cache.StaleIfError < 0 {
		wrong("cache.stale_if_error: must not be negative; 0 sends no stale answer")
	}
	if slices.Contains(c.Origins, "*") {
		wrong(`origins: "*" is not allowed, since cookies are sent: list the origins`)
	}
	for _, o := range c.Origins {
		if !middleware.ValidOrigin(o) {
			wrong("origins: %q is not an origin such as https://shop.example or http://localhost:*", o)
		}
	}
	for _, p := range c.TrustedProxies {
		if _, err := netip.ParsePrefix(p); err != nil {
			wrong("trusted_proxies: %q is not a network such as 10.0.0.0/8", p)
		}
	}
	for _, u := range [][2]string{{"public_url", c.PublicURL}, {"dev_url", c.DevURL}} {
		if u[1] == "" {
			continue
		}
		if parsed, err := url.Parse(u[1]); err != nil || parsed.Host == "" ||
			parsed.Scheme != "http" && parsed.Scheme != "https" {
			wrong("%s: %q is not a URL such as https://shop.example", u[0], u[1])
		}
	}
	if c.Cache.MaxBytes < 0 {
		wrong("cache.max_bytes: must not be negative; 0 turns the cache off")
	}
	if r := c.CallerRate; r.PerSecond < 0 || r.Burst < 0 {
		wrong("caller_rate: must not be negative; per_second: 0 turns the limit off")
	}
	if r := c.AddressRate; r.PerSecond < 0 || r.Burst < 0 {
		wrong("address_rate: must not be negative; per_second: 0 turns the limit off")
	}
	return errors.Join(problems...)
}

func (c *Config) publicURL() string {
	if c.PublicURL != "" {
		return c.PublicURL
	}
	host, port, err := net.SplitHostPort(c.Addr)
	if ip, perr := netip.ParseAddr(host); err == nil && (host == "" || perr == nil && ip.IsUnspecified()) {
		return "http://127.0.0.1:" + port
	}
	return "http://" + c.Addr
}

func (c *Config) trustedProxies() []netip.Prefix {
	var out []netip.Prefix
	for _, p := range c.TrustedProxies {
		out = append(out, netip.MustParsePrefix(p)) // Validate parsed it
	}
	return out
}

func (r RateConfig) burst() int {
	if r.Burst > 0 {
		return r.Burst
	}
	return 2 * r.PerSecond
}

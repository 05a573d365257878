package httpclient

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"

	"souk/pkg/errs"
)

// maxGuardedHeader is the longest header of an answer that a guarded client reads, in bytes.
const maxGuardedHeader = 64 << 10

// ErrAddressRefused is in the chain of the error of a call whose guard has refused the address.
var ErrAddressRefused = errs.New(errs.Forbidden, "the address is not a public one")

// global is the space of IPv6 from which addresses are assigned.
var global = netip.MustParsePrefix("2000::/3")

// special are the networks that look public and are not: IANA's registries of special-purpose addresses.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // this network
	netip.MustParsePrefix("100.64.0.0/10"),   // carriers' NAT
	netip.MustParsePrefix("192.0.0.0/24"),    // IETF protocols
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation
	netip.MustParsePrefix("192.88.99.0/24"),  // 6to4 relays
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, and broadcast
	netip.MustParsePrefix("2001::/23"),       // IETF protocols: among others Teredo, which holds an IPv4 address
	netip.MustParsePrefix("2001:db8::/32"),   // documentation
	netip.MustParsePrefix("2002::/16"),       // 6to4, which holds an IPv4 address
	netip.MustParsePrefix("3fff::/20"),       // documentation
}

// PublicOnly is a guard that refuses addresses that are not on the public internet.
func PublicOnly(a netip.Addr) error {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.Is6() && !global.Contains(a) ||
		slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return ErrAddressRefused
	}
	return nil
}

// PublicOrLoopback is [PublicOnly], but allows addresses of this machine. It is for development.
func PublicOrLoopback(a netip.Addr) error {
	if a.Unmap().IsLoopback() {
		return nil
	}
	return PublicOnly(a)
}

// guarded makes t ask guard about each address before it connects. The name is resolved by then, so a name that means
// another address the next time does not help. A proxy would connect in t's place, so t uses none.
func guarded(t *http.Transport, d *net.Dialer, guard func(netip.Addr) error) {
	d.Control = func(_, address string, _ syscall.RawConn) error {
		addr, err := netip.ParseAddrPort(address)
		if err != nil {
			return errs.Wrap(err, errs.Internal, "the dialer's address cannot be read")
		}
		return guard(addr.Addr())
	}
	t.Proxy = nil
	t.DisableCompression = true
	t.MaxResponseHeaderBytes = maxGuardedHeader
}

package gateway

import (
	"net"
	"net/netip"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"souk/apps/gateway/internal/middleware"
	"souk/pkg/metric"
)

// boundedListener closes new connections beyond a number, of all clients or of one address. Requests cannot be refused
// so early: a client that opens connections and sends nothing is held by no other limit.
type boundedListener struct {
	net.Listener
	most, perAddress int            // 0: no bound
	proxies          []netip.Prefix // not bounded by address
	refused          *prometheus.CounterVec

	mu        sync.Mutex
	open      int
	byAddress map[string]int
}

func newBoundedListener(
	l net.Listener, most, perAddress int, proxies []netip.Prefix, metrics prometheus.Registerer,
) (*boundedListener, error) {
	refused, err := metric.Register(metrics, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "connection_refused_total",
		Help: "Connections that were closed at once, because there were too many: in all, or of their address.",
	}, []string{"limit"}))
	if err != nil {
		return nil, err
	}
	return &boundedListener{
		Listener:   l,
		most:       most,
		perAddress: perAddress,
		proxies:    proxies,
		refused:    refused,
		byAddress:  map[string]int{},
	}, nil
}

// Accept returns the next connection within the bounds.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		address := ""
		if tcp, ok := c.RemoteAddr().(*net.TCPAddr); ok && !middleware.Within(tcp.AddrPort().Addr(), l.proxies) {
			address = middleware.Network(tcp.IP.String())
		}
		if limit := l.take(address); limit != "" {
			l.refused.WithLabelValues(limit).Inc()
			_ = c.Close() // nothing was sent
			continue
		}
		return &boundedConn{Conn: c, release: sync.OnceFunc(func() { l.release(address) })}, nil
	}
}

// take counts a connection, or returns the limit that it would exceed.
func (l *boundedListener) take(address string) (limit string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.most > 0 && l.open >= l.most:
		return "all"
	case address != "" && l.perAddress > 0 && l.byAddress[address] >= l.perAddress:
		return "address"
	}
	l.open++
	if address != "" {
		l.byAddress[address]++
	}
	return ""
}

func (l *boundedListener) release(address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if address == "" {
		return
	}
	if l.byAddress[address]--; l.byAddress[address] == 0 {
		delete(l.byAddress, address)
	}
}

type boundedConn struct {
	net.Conn
	release func()
}

// Close closes the connection, and makes room for another.
func (c *boundedConn) Close() error {
	c.release()
	return c.Conn.Close()
}

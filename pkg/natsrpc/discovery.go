package natsrpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"go.uber.org/zap"

	"souk/pkg/errs"
	"souk/pkg/rpc"
)

// MetadataPID is the key of the process's ID in the metadata of what [Discover] finds.
const MetadataPID = "pid"

// flushTimeout bounds a flush, or a wait for another process, whose context has no deadline.
const flushTimeout = 5 * time.Second

// endpoint is a method and the statistics of its calls.
type endpoint struct {
	method  rpc.Method
	subject string

	mu        sync.Mutex
	requests  int
	errors    int
	lastError string
	busy      time.Duration
}

func (e *endpoint) observe(d time.Duration, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.requests++
	e.busy += d
	if err != nil {
		e.errors++
		e.lastError = string(errs.CodeOf(err))
	}
}

func (e *endpoint) stats() *micro.EndpointStats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return &micro.EndpointStats{
		Name: e.method.Name, Subject: e.subject, QueueGroup: rpc.Target(e.method.FullMethod),
		NumRequests: e.requests, NumErrors: e.errors, LastError: e.lastError,
		ProcessingTime: e.busy, AverageProcessingTime: e.busy / time.Duration(max(e.requests, 1)),
	}
}

func (e *endpoint) info() micro.EndpointInfo {
	return micro.EndpointInfo{
		Name: e.method.Name, Subject: e.subject, QueueGroup: rpc.Target(e.method.FullMethod),
		Metadata: map[string]string{
			"method":     e.method.FullMethod,
			"access":     strings.ToLower(strings.TrimPrefix(e.method.Access.GetLevel().String(), "LEVEL_")),
			"idempotent": fmt.Sprint(e.method.Idempotent),
			"timeout":    e.method.Timeout.String(),
		},
	}
}

// endpoints returns the endpoints sorted by subject.
func (sv *serving) endpoints() []*endpoint {
	return slices.SortedFunc(maps.Values(sv.methods),
		func(a, b *endpoint) int { return strings.Compare(a.subject, b.subject) })
}

// discoverable answers the NATS service API. Package micro is not used for it, because it runs handlers on the
// subscription's goroutine and measures them there.
func (sv *serving) discoverable() error {
	identity := micro.ServiceIdentity{
		Name: sv.server.Service(), ID: sv.id, Version: sv.options.Version,
		Metadata: map[string]string{"transport": "souk/natsrpc", MetadataPID: strconv.Itoa(os.Getpid())},
	}
	verbs := map[micro.Verb]func() any{
		micro.PingVerb: func() any { return micro.Ping{ServiceIdentity: identity, Type: micro.PingResponseType} },
		micro.InfoVerb: func() any {
			info := micro.Info{
				ServiceIdentity: identity,
				Type:            micro.InfoResponseType,
				Endpoints:       []micro.EndpointInfo{},
			}
			for _, e := range sv.endpoints() {
				info.Endpoints = append(info.Endpoints, e.info())
			}
			return info
		},
		micro.StatsVerb: func() any {
			stats := micro.Stats{
				ServiceIdentity: identity,
				Type:            micro.StatsResponseType,
				Started:         sv.started,
				Endpoints:       []*micro.EndpointStats{},
			}
			for _, e := range sv.endpoints() {
				stats.Endpoints = append(stats.Endpoints, e.stats())
			}
			return stats
		},
	}
	for verb, answer := range verbs {
		for _, scope := range [][2]string{{"", ""}, {identity.Name, ""}, {identity.Name, identity.ID}} {
			subject, err := micro.ControlSubject(verb, scope[0], scope[1])
			if err != nil {
				return err
			}
			if err := sv.add(subject, "", func(m *nats.Msg) { sv.respond(m, answer()) }); err != nil {
				return err
			}
		}
	}
	return nil
}

func (sv *serving) respond(m *nats.Msg, answer any) {
	data, err := json.Marshal(answer)
	if err == nil {
		err = m.Respond(data)
	}
	if err != nil {
		sv.options.Logger.Warn("the NATS service API was not answered", zap.String("subject", m.Subject),
			zap.Error(err))
	}
}

// Discover returns the statistics of every process of the services that answers within wait, sorted by service and
// process. It asks for each service with a reply subject of its own, because the servers let a process with several
// services publish only one message to it.
//
// Errors: unavailable.
func Discover(ctx context.Context, nc *nats.Conn, wait time.Duration, services ...string) ([]micro.Stats, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	inbox := nc.NewInbox() + "."
	sub, err := nc.SubscribeSync(inbox + "*")
	if err != nil {
		return nil, errs.Wrap(err, errs.Unavailable, "NATS takes no subscriptions")
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only on a closed connection, which has no subscriptions
	for _, service := range services {
		subject, err := micro.ControlSubject(micro.StatsVerb, service, "")
		if err != nil {
			return nil, err
		}
		if err := nc.PublishRequest(subject, inbox+service, nil); err != nil {
			return nil, errs.Wrap(err, errs.Unavailable, "NATS does not answer")
		}
	}
	var found []micro.Stats
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if errors.Is(err, nats.ErrNoResponders) { // no process runs a service
			continue
		}
		if errors.Is(err, context.DeadlineExceeded) {
			break
		}
		if err != nil {
			return nil, errs.Wrap(err, errs.Unavailable, "NATS does not answer")
		}
		var s micro.Stats
		if json.Unmarshal(m.Data, &s) == nil && s.Type == micro.StatsResponseType {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b micro.Stats) int {
		return strings.Compare(a.Name+"\x00"+a.ID, b.Name+"\x00"+b.ID)
	})
	return found, nil
}

// Reach returns nil if a process answers for the service.
//
// Errors: unavailable.
func (t *transport) Reach(ctx context.Context, service string) error {
	subject, err := micro.ControlSubject(micro.PingVerb, service, "")
	if err != nil {
		return err
	}
	if !t.nc.IsConnected() { // a request would wait for the connection
		return errs.New(errs.Unavailable, "NATS is out of reach")
	}
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	_, err = t.nc.RequestWithContext(ctx, subject, nil)
	if errors.Is(err, nats.ErrNoResponders) {
		return rpc.Absent(service)
	}
	if err != nil {
		return errs.Wrap(err, errs.Unavailable, "%s does not answer", service)
	}
	return nil
}

// flush waits until NATS has received everything sent so far. nats.go requires a context with a deadline.
func flush(ctx context.Context, nc *nats.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	return nc.FlushWithContext(ctx)
}

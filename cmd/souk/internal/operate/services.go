package operate

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go/micro"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"souk/cmd/souk/internal/dev"
	"souk/gen/go/souk/services"
	"souk/pkg/natsrpc"
)

// discoverWait is how long the command waits for the services' answers.
const discoverWait = 500 * time.Millisecond

// Services prints which services run where, and how their calls go, by method if methods is set.
func (s *Souk) Services(ctx context.Context, out io.Writer, methods bool) error {
	list, err := s.findServices(ctx)
	if err != nil {
		return err
	}
	return writeServices(out, list, methods)
}

// serviceInfo is one service in one process.
type serviceInfo struct {
	name, where string
	methods     []methodInfo
}

// methodInfo sums up the calls of a method since its process started.
type methodInfo struct {
	name             string
	requests, errors int64
	busy             time.Duration
}

func (s serviceInfo) sum() methodInfo {
	var total methodInfo
	for _, m := range s.methods {
		total.requests += m.requests
		total.errors += m.errors
		total.busy += m.busy
	}
	return total
}

func (m methodInfo) average() string {
	if m.requests == 0 {
		return "-"
	}
	return (m.busy / time.Duration(m.requests)).Round(time.Microsecond).String()
}

func (s *Souk) findServices(ctx context.Context) ([]serviceInfo, error) {
	var processes []dev.Process
	if s.state != nil {
		var err error
		if processes, err = devProcesses(ctx, s.state); err != nil {
			return nil, err
		}
		if s.state.Transport != "nats" {
			return s.servicesByMetrics(ctx, processes)
		}
	}
	nc, err := s.connectNATS()
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	stats, err := natsrpc.Discover(ctx, nc, discoverWait, services.Names()...)
	if err != nil {
		return nil, err
	}
	if len(stats) == 0 {
		return nil, errors.New("no service answers on NATS. Are they running, with rpc.transport: nats? " +
			"Those that share a process are seen in /metrics of its admin listener")
	}
	list := servicesByStats(stats, s.state != nil)
	for _, m := range s.modules { // the gateway is not an RPC service, and a dead process does not answer
		if s.state != nil && !slices.ContainsFunc(list, func(i serviceInfo) bool { return i.name == m.Name }) {
			list = append(list, serviceInfo{name: m.Name, where: cmp.Or(placeOf(m.Name, processes), "not running")})
		}
	}
	return list, nil
}

// servicesByStats returns what processes say of themselves on NATS. With local, all run on this machine, and are named
// by their process IDs.
func servicesByStats(stats []micro.Stats, local bool) []serviceInfo {
	var list []serviceInfo
	for _, found := range stats {
		info := serviceInfo{name: found.Name, where: found.ID}
		if pid := found.Metadata[natsrpc.MetadataPID]; local && pid != "" {
			info.where = "pid " + pid
		}
		for _, e := range found.Endpoints {
			info.methods = append(info.methods, methodInfo{
				name: e.Name, requests: int64(e.NumRequests), errors: int64(e.NumErrors), busy: e.ProcessingTime,
			})
		}
		list = append(list, info)
	}
	return list
}

// placeOf names the process that runs a service; "" if it is not found.
func placeOf(service string, processes []dev.Process) string {
	for _, p := range processes {
		if p.Name == service || len(processes) == 1 {
			return fmt.Sprintf("pid %d", p.PID)
		}
	}
	return ""
}

func devProcesses(ctx context.Context, state *dev.State) ([]dev.Process, error) {
	var answer struct {
		Processes []dev.Process `json:"processes"`
	}
	err := fetch(ctx, state.Control+"/dev/processes",
		func(body io.Reader) error { return json.NewDecoder(body).Decode(&answer) })
	if err != nil {
		return nil, fmt.Errorf("souk dev does not say which processes it has: %w", err)
	}
	return answer.Processes, nil
}

// servicesByMetrics reads the services' calls from the metrics of each process. Every process runs all modules.
func (s *Souk) servicesByMetrics(ctx context.Context, processes []dev.Process) ([]serviceInfo, error) {
	var list []serviceInfo
	for _, p := range processes {
		var families map[string]*dto.MetricFamily
		err := fetch(ctx, "http://"+p.Admin+"/metrics", func(body io.Reader) (err error) {
			parser := expfmt.NewTextParser(model.UTF8Validation)
			families, err = parser.TextToMetricFamilies(body)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("the metrics of %s (pid %d): %w", p.Name, p.PID, err)
		}
		calls := callsByService(families)
		for _, m := range s.modules {
			list = append(list, serviceInfo{m.Name, fmt.Sprintf("pid %d", p.PID), calls[m.Name]})
		}
	}
	return list, nil
}

// callsByService returns the calls of each method by service, from the metrics of the RPC server side.
func callsByService(families map[string]*dto.MetricFamily) map[string][]methodInfo {
	type key struct{ service, method string }
	found := map[key]*methodInfo{}
	of := func(m *dto.Metric) (*methodInfo, string) {
		labels := map[string]string{}
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		k := key{labels["target"], labels["method"][strings.LastIndex(labels["method"], "/")+1:]}
		if found[k] == nil {
			found[k] = &methodInfo{name: k.method}
		}
		return found[k], labels["code"]
	}
	for _, m := range families["rpc_server_requests_total"].GetMetric() {
		info, code := of(m)
		n := int64(m.GetCounter().GetValue())
		info.requests += n
		if code != "ok" {
			info.errors += n
		}
	}
	for _, m := range families["rpc_server_duration_seconds"].GetMetric() {
		info, _ := of(m)
		info.busy += time.Duration(m.GetHistogram().GetSampleSum() * float64(time.Second))
	}
	out := map[string][]methodInfo{}
	for k, m := range found {
		out[k.service] = append(out[k.service], *m)
	}
	for _, list := range out {
		slices.SortFunc(list, func(a, b methodInfo) int { return strings.Compare(a.name, b.name) })
	}
	return out
}

// fetch sends a GET request to a process of souk dev and passes the body to read. It fails if the status is not 200.
func fetch(ctx context.Context, url string, read func(io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }() // the body is only read
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 500)) // a part of the reason is better than nothing
		return fmt.Errorf("%s: %s %s", url, res.Status, strings.TrimSpace(string(text)))
	}
	return read(res.Body)
}

func writeServices(out io.Writer, list []serviceInfo, methods bool) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "SERVICE\tRUNS IN\tCALLS\tERRORS\tAVERAGE")
	for _, s := range list {
		row := func(name, where string, m methodInfo) {
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\n", name, where, m.requests, m.errors, m.average())
		}
		row(s.name, s.where, s.sum())
		if methods {
			for _, m := range s.methods {
				row("  "+m.name, "", m)
			}
		}
	}
	return w.Flush()
}

package receiver

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const (
	// maxBody is the largest export in bytes, uncompressed.
	maxBody = 16 << 20
	// maxListed is the most traces that the list shows.
	maxListed = 100
)

// summary is a trace in the list.
type summary struct {
	TraceID    string    `json:"traceId"`
	Service    string    `json:"service"`
	Name       string    `json:"name"`
	Start      time.Time `json:"start"`
	DurationMs float64   `json:"durationMs"`
	Spans      int       `json:"spans"`
	Errors     int       `json:"errors"`
}

// ServeHTTP serves POST /v1/traces (OTLP/HTTP, protobuf or JSON), GET /dev/traces (the latest 100) and
// GET /dev/traces/{traceId}.
func (r *Recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", r.collect)
	mux.HandleFunc("GET /dev/traces", r.list)
	mux.HandleFunc("GET /dev/traces/{traceId}", r.show)
	mux.ServeHTTP(w, req)
}

func (r *Recorder) collect(w http.ResponseWriter, req *http.Request) {
	msg := &collectorv1.ExportTraceServiceRequest{}
	kind, _, _ := mime.ParseMediaType(req.Header.Get("Content-Type"))
	isJSON := kind == "application/json"
	if !isJSON && kind != "application/x-protobuf" {
		http.Error(w, "want application/x-protobuf or application/json", http.StatusUnsupportedMediaType)
		return
	}
	body, err := read(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if isJSON {
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(body, msg)
	} else {
		err = proto.Unmarshal(body, msg)
	}
	if err != nil {
		http.Error(w, "this is not an OTLP trace export", http.StatusBadRequest)
		return
	}
	r.Add(fromOTLP(msg.GetResourceSpans())...)
	w.Header().Set("Content-Type", kind)
	if isJSON {
		_, _ = io.WriteString(w, "{}")
	} // an empty message has no bytes in protobuf
}

func read(req *http.Request) ([]byte, error) {
	var src io.Reader = req.Body
	if req.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(req.Body)
		if err != nil {
			return nil, err
		}
		src = z
	}
	body, err := io.ReadAll(io.LimitReader(src, maxBody+1))
	if err == nil && len(body) > maxBody {
		err = errors.New("the export is too large")
	}
	return body, err
}

func (r *Recorder) list(w http.ResponseWriter, _ *http.Request) {
	out := []summary{}
	for _, t := range r.Traces() {
		if len(out) == maxListed {
			break
		}
		first := t.Spans[0]
		s := summary{
			TraceID: t.TraceID,
			Service: first.Service,
			Name:    first.Name,
			Start:   first.Start,
			Spans:   len(t.Spans),
		}
		for _, span := range t.Spans {
			end := span.Start.Add(time.Duration(span.DurationMs * float64(time.Millisecond)))
			s.DurationMs = max(s.DurationMs, milliseconds(end.Sub(first.Start)))
			if span.Status == "error" {
				s.Errors++
			}
		}
		out = append(out, s)
	}
	write(w, http.StatusOK, map[string]any{"traces": out})
}

func (r *Recorder) show(w http.ResponseWriter, req *http.Request) {
	t, ok := r.Trace(req.PathValue("traceId"))
	if !ok {
		write(
			w,
			http.StatusNotFound,
			map[string]any{
				"title":  "there is no such trace, or it was not sampled",
				"status": http.StatusNotFound,
				"code":   "not_found",
			},
		)
		return
	}
	write(w, http.StatusOK, t)
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // an error means that the client has gone
}

func fromOTLP(resources []*tracev1.ResourceSpans) []Span {
	var out []Span
	for _, rs := range resources {
		service := ""
		for _, kv := range rs.GetResource().GetAttributes() {
			if kv.GetKey() == "service.name" {
				service = kv.GetValue().GetStringValue()
			}
		}
		for _, scope := range rs.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				start := time.Unix(0, int64(s.GetStartTimeUnixNano())) //nolint:gosec // nanoseconds of this century fit
				end := time.Unix(0, int64(s.GetEndTimeUnixNano()))     //nolint:gosec // as above
				attrs := map[string]any{}
				for _, kv := range s.GetAttributes() {
					attrs[kv.GetKey()] = value(kv.GetValue())
				}
				out = append(out, Span{
					TraceID:      hexID(s.GetTraceId()),
					SpanID:       hexID(s.GetSpanId()),
					ParentSpanID: hexID(s.GetParentSpanId()),
					Service:      service,
					Name:         s.GetName(),
					Kind:         kinds[s.GetKind()],
					Start:        start.UTC(),
					DurationMs:   milliseconds(end.Sub(start)),
					Status:       statuses[s.GetStatus().GetCode()],
					Message:      s.GetStatus().GetMessage(),
					Attributes:   attrs,
				})
			}
		}
	}
	return out
}

var kinds = map[tracev1.Span_SpanKind]string{
	tracev1.Span_SPAN_KIND_UNSPECIFIED: "internal", tracev1.Span_SPAN_KIND_INTERNAL: "internal",
	tracev1.Span_SPAN_KIND_SERVER: "server", tracev1.Span_SPAN_KIND_CLIENT: "client",
	tracev1.Span_SPAN_KIND_PRODUCER: "producer", tracev1.Span_SPAN_KIND_CONSUMER: "consumer",
}

var statuses = map[tracev1.Status_StatusCode]string{
	tracev1.Status_STATUS_CODE_UNSET: "unset",
	tracev1.Status_STATUS_CODE_OK:    "ok",
	tracev1.Status_STATUS_CODE_ERROR: "error",
}

func value(v *commonv1.AnyValue) any {
	switch v := v.GetValue().(type) {
	case *commonv1.AnyValue_StringValue:
		return v.StringValue
	case *commonv1.AnyValue_BoolValue:
		return v.BoolValue
	case *commonv1.AnyValue_IntValue:
		return v.IntValue
	case *commonv1.AnyValue_DoubleValue:
		return v.DoubleValue
	case *commonv1.AnyValue_ArrayValue:
		var out []any
		for _, e := range v.ArrayValue.GetValues() {
			out = append(out, value(e))
		}
		return out
	default:
		return v
	}
}

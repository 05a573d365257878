package rest

import (
	"bytes"
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"souk/apps/gateway/internal/middleware"
	optionsv1 "souk/gen/go/souk/options/v1"
	"souk/pkg/rpc"
)

// route is what a contract says about one REST method.
type route struct {
	pattern        string
	method         string
	service        string
	access         *optionsv1.Access
	idempotencyKey bool
	cacheSeconds   int32
	successStatus  int
	location       *location // nil: the call creates nothing
	resource       *location // where the API shows what the answer shows; nil: nowhere
	wrapper        string    // the field of the answer that holds the resource; "": the answer is the resource
	parameters     parameters
	takesIfMatch   bool
	showsProduct   bool          // the answer is a product, for whose ETag If-Match asks
	inFlight       *rpc.InFlight // nil: not bounded
	rateCost       int
	takesFreeText  bool // some field of the request is a text that a person writes
}

// freeText returns the body of a request in which somebody may write anything; nil for others, whose fields have a
// form.
func (rt route) freeText(r *http.Request) []byte {
	if !rt.takesFreeText {
		return nil
	}
	return middleware.BytesOf(r)
}

// tag names the source of a cached answer: one product, the whole catalogue, or the shops.
func (rt route) tag(params map[string]string) string {
	switch {
	case rt.method == "souk.product.v1.ProductService.GetProduct":
		return "product:" + params["id"]
	case rt.service == "product":
		return "catalog"
	default:
		return rt.service
	}
}

// keyRule returns the route's rule for Idempotency-Keys. api is the handler of all routes.
func (rt route) keyRule(api http.Handler) middleware.KeyRule {
	return middleware.KeyRule{
		Required: rt.idempotencyKey,
		Creates:  rt.successStatus == http.StatusCreated,
		Reread: func(w http.ResponseWriter, r *http.Request, path string) {
			get := r.Clone(r.Context())
			get.Method, get.URL, get.Body = http.MethodGet, &url.URL{Path: path}, http.NoBody
			get.Header.Del("If-None-Match")
			if rt.wrapper == "" {
				api.ServeHTTP(w, get)
				return
			}
			inner := &wrapped{ResponseWriter: w, field: rt.wrapper}
			api.ServeHTTP(inner, get)
		},
	}
}

// wrapped puts a successful JSON answer, which is written at once, into a field of an object.
type wrapped struct {
	http.ResponseWriter
	field  string
	status int
}

// WriteHeader sends the status.
func (w *wrapped) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Write sends the answer, in the field if it is no error.
func (w *wrapped) Write(b []byte) (int, error) {
	if w.status >= http.StatusBadRequest {
		return w.ResponseWriter.Write(b)
	}
	if _, err := fmt.Fprintf(w.ResponseWriter, "{%q:%s}", w.field, bytes.TrimSpace(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}

type routes map[string]route

// allowed returns the verbs of a path; none if no route matches.
func (rs routes) allowed(path string) []string {
	var verbs []string
	for key := range rs {
		verb, pattern, _ := strings.Cut(key, " ")
		expr := anyVariable.ReplaceAllString(regexp.QuoteMeta(pattern), "[^/]+")
		if ok, err := regexp.MatchString("^"+expr+"$", path); err != nil || !ok {
			continue
		}
		verbs = append(verbs, verb)
		if verb == http.MethodGet {
			verbs = append(verbs, http.MethodHead)
		}
	}
	slices.Sort(verbs)
	return slices.Compact(verbs)
}

// anyVariable matches a variable of a pattern after regexp.QuoteMeta.
var anyVariable = regexp.MustCompile(`\\\{[^}]*\\\}`)

// routesOf reads the routes of the contracts.
func routesOf(files ...protoreflect.FileDescriptor) (routes, error) {
	out := routes{}
	for _, f := range files {
		for i := range f.Services().Len() {
			methods := f.Services().Get(i).Methods()
			for j := range methods.Len() {
				m := methods.Get(j)
				rule, ok := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
				if !ok || rule == nil {
					continue
				}
				verb, pattern := verbOf(rule)
				if verb == "" {
					return nil, fmt.Errorf("%s: its http annotation has no verb", m.FullName())
				}
				created, err := locationOf(proto.GetExtension(m.Options(), optionsv1.E_Location).(string), m.Output())
				if err != nil {
					return nil, fmt.Errorf("%s: %w", m.FullName(), err)
				}
				shown, err := locationOf(proto.GetExtension(m.Options(), optionsv1.E_Resource).(string), m.Output())
				if err != nil {
					return nil, fmt.Errorf("%s: %w", m.FullName(), err)
				}
				shown = cmp.Or(shown, created)
				wrapper := ""
				if shown != nil && rule.GetResponseBody() == "" {
					wrapper = shown.wrapper()
				}
				out[verb+" "+pattern] = route{
					pattern:        pattern,
					method:         string(m.FullName()),
					service:        string(f.Package().Parent().Name()),
					access:         proto.GetExtension(m.Options(), optionsv1.E_Access).(*optionsv1.Access),
					idempotencyKey: proto.GetExtension(m.Options(), optionsv1.E_IdempotencyKey).(bool),
					cacheSeconds:   proto.GetExtension(m.Options(), optionsv1.E_CacheSeconds).(int32),
					successStatus: cmp.Or(int(proto.GetExtension(m.Options(), optionsv1.E_SuccessStatus).(int32)),
						http.StatusOK),
					location:     created,
					resource:     shown,
					wrapper:      wrapper,
					parameters:   parametersOf(m.Input(), pattern, rule),
					takesIfMatch: m.Input().Fields().ByName(ifMatchField) != nil,
					showsProduct: rule.GetResponseBody() == "product",
					inFlight: rpc.NewInFlight(
						proto.GetExtension(m.Options(), optionsv1.E_InFlight).(*optionsv1.InFlight),
					),
					rateCost:      cmp.Or(int(proto.GetExtension(m.Options(), optionsv1.E_RateCost).(int32)), 1),
					takesFreeText: rpc.TakesFreeText(m.Input()),
				}
			}
		}
	}
	return out, nil
}

func verbOf(rule *annotations.HttpRule) (verb, pattern string) {
	switch p := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		return http.MethodGet, p.Get
	case *annotations.HttpRule_Post:
		return http.MethodPost, p.Post
	case *annotations.HttpRule_Put:
		return http.MethodPut, p.Put
	case *annotations.HttpRule_Patch:
		return http.MethodPatch, p.Patch
	case *annotations.HttpRule_Delete:
		return http.MethodDelete, p.Delete
	default:
		return "", ""
	}
}

// anyValue matches the form in which runtime.Pattern prints a variable that a contract writes as {name}.
var anyValue = regexp.MustCompile(`=\*}`)

// find returns the route of a request that the mux has matched.
func (rs routes) find(r *http.Request) route {
	p, ok := runtime.HTTPPattern(r.Context())
	if !ok {
		return route{pattern: "unmatched"}
	}
	pattern := p.String()
	if rt, ok := rs[r.Method+" "+pattern]; ok {
		return rt
	}
	if rt, ok := rs[r.Method+" "+anyValue.ReplaceAllString(pattern, "}")]; ok {
		return rt
	}
	return route{pattern: pattern}
}

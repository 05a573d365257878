package main

import (
	"fmt"
	"net/http"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// The values of souk.options.v1.Level that matter here. This program generates that package, so it cannot import it.
const (
	levelPublic         = 1
	levelGuest          = 2
	levelPermission     = 4
	levelInternal       = 5
	levelShopPermission = 6
)

// method is an RPC with the options that say how it is reached.
type method struct {
	descriptor     protoreflect.MethodDescriptor
	level          protoreflect.EnumNumber
	permission     string // that the access names; empty: none
	recentSignIn   bool
	readOnly       bool // it has no side effects
	idempotencyKey bool
	successStatus  int
	cacheSeconds   int
	location       string
	resource       bool // the API shows what an answer shows, at its location or elsewhere
	refuses        []string
	routes         []route
}

// route is one way to reach a method over REST.
type route struct {
	verb, path string
	// body: the request's fields that are not in the path are its JSON body, not its query.
	body bool
	// responseBody is the field of the response that is the answer; empty: all of it.
	responseBody string
}

// operationID returns the name of a method in the OpenAPI document.
func (m method) operationID() string {
	return string(m.descriptor.Parent().Name()) + "_" + string(m.descriptor.Name())
}

// methods returns all methods of the contracts.
func (c *contracts) methods() ([]method, error) {
	var all []method
	for _, file := range c.linked {
		services := file.Services()
		for i := range services.Len() {
			methods := services.Get(i).Methods()
			for j := range methods.Len() {
				m, err := c.method(methods.Get(j))
				if err != nil {
					return nil, fmt.Errorf("%s: %w", methods.Get(j).FullName(), err)
				}
				all = append(all, m)
			}
		}
	}
	return all, nil
}

func (c *contracts) method(descriptor protoreflect.MethodDescriptor) (method, error) {
	m := method{descriptor: descriptor, successStatus: http.StatusOK}
	// The compiler keeps custom options in a form of its own. Decode them again, ours as dynamic messages.
	data, err := proto.Marshal(descriptor.Options())
	if err != nil {
		return m, err
	}
	own := new(descriptorpb.MethodOptions)
	if err := (proto.UnmarshalOptions{Resolver: c.linked.AsResolver()}).Unmarshal(data, own); err != nil {
		return m, err
	}
	own.ProtoReflect().Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch fd.FullName() {
		case "souk.options.v1.access":
			access, fields := v.Message(), fd.Message().Fields()
			m.level = access.Get(fields.ByName("level")).Enum()
			m.permission = access.Get(fields.ByName("permission")).String()
			m.recentSignIn = access.Get(fields.ByName("recent_sign_in")).Bool()
		case "souk.options.v1.idempotency_key":
			m.idempotencyKey = v.Bool()
		case "souk.options.v1.success_status":
			m.successStatus = int(v.Int())
		case "souk.options.v1.cache_seconds":
			m.cacheSeconds = int(v.Int())
		case "souk.options.v1.location":
			m.location, m.resource = v.String(), true
		case "souk.options.v1.resource":
			m.resource = true
		case "souk.options.v1.refuses":
			codes := v.Message().Get(fd.Message().Fields().ByName("codes")).List()
			for i := range codes.Len() {
				m.refuses = append(m.refuses, codes.Get(i).String())
			}
		}
		return true
	})
	m.readOnly = own.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS
	linked := new(descriptorpb.MethodOptions)
	if err := proto.Unmarshal(data, linked); err != nil {
		return m, err
	}
	if rule, ok := proto.GetExtension(linked, annotations.E_Http).(*annotations.HttpRule); ok && rule != nil {
		m.routes = routes(rule)
	}
	switch {
	case m.level == 0:
		return m, fmt.Errorf("has no option (souk.options.v1.access)")
	case m.level == levelInternal && len(m.routes) > 0:
		return m, fmt.Errorf("is internal, but has an option (google.api.http)")
	}
	return m, nil
}

func routes(rule *annotations.HttpRule) []route {
	var all []route
	add := func(verb, path string) {
		all = append(all, route{verb, path, rule.GetBody() != "", rule.GetResponseBody()})
	}
	switch pattern := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		add("get", pattern.Get)
	case *annotations.HttpRule_Put:
		add("put", pattern.Put)
	case *annotations.HttpRule_Post:
		add("post", pattern.Post)
	case *annotations.HttpRule_Delete:
		add("delete", pattern.Delete)
	case *annotations.HttpRule_Patch:
		add("patch", pattern.Patch)
	case *annotations.HttpRule_Custom:
		add(strings.ToLower(pattern.Custom.GetKind()), pattern.Custom.GetPath())
	}
	for _, more := range rule.GetAdditionalBindings() {
		all = append(all, routes(more)...)
	}
	return all
}

package rpc

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	optionsv1 "souk/gen/go/souk/options/v1"
)

// DefaultTimeout is the deadline of a call that brings none to a method that declares none.
const DefaultTimeout = 5 * time.Second

// Method is what a contract says of one method.
type Method struct {
	// FullMethod as gRPC writes it, e.g. "/souk.product.v1.ProductService/GetProduct".
	FullMethod string
	// Service is the protobuf name of the service, e.g. "souk.product.v1.ProductService".
	Service string
	// Name of the method, e.g. "GetProduct".
	Name string
	// Access says who may call.
	Access *optionsv1.Access
	// Timeout is the deadline of a call that brings none.
	Timeout time.Duration
	// Idempotent methods may be called again when it is unknown what became of a call.
	Idempotent bool

	input protoreflect.MessageDescriptor
}

// Target returns the short name of the service that a full method name belongs to: "product" for
// "/souk.product.v1.ProductService/GetProduct".
func Target(fullMethod string) string {
	name := strings.TrimPrefix(strings.TrimPrefix(fullMethod, "/"), "souk.")
	target, _, _ := strings.Cut(name, ".")
	return target
}

// FindMethod returns what the linked contracts say of a method.
func FindMethod(fullMethod string) (Method, error) {
	service, name, ok := strings.Cut(strings.TrimPrefix(fullMethod, "/"), "/")
	if !ok {
		return Method{}, fmt.Errorf("%q is not the name of a method", fullMethod)
	}
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		return Method{}, fmt.Errorf("the contract of %s: %w", service, err)
	}
	sd, ok := d.(protoreflect.ServiceDescriptor)
	if !ok {
		return Method{}, fmt.Errorf("%s is not a service", service)
	}
	md := sd.Methods().ByName(protoreflect.Name(name))
	if md == nil {
		return Method{}, fmt.Errorf("%s has no method %s", service, name)
	}
	return describe(md), nil
}

func describe(md protoreflect.MethodDescriptor) Method {
	service := string(md.Parent().FullName())
	m := Method{
		FullMethod: "/" + service + "/" + string(md.Name()),
		Service:    service,
		Name:       string(md.Name()),
		Timeout:    DefaultTimeout,
		input:      md.Input(),
	}
	options, ok := md.Options().(*descriptorpb.MethodOptions)
	if !ok || options == nil {
		return m
	}
	m.Idempotent = options.GetIdempotencyLevel() != descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN
	m.Access, _ = proto.GetExtension(options, optionsv1.E_Access).(*optionsv1.Access)
	if d := timeoutOf(options); d > 0 {
		m.Timeout = d
	}
	return m
}

func timeoutOf(options *descriptorpb.MethodOptions) time.Duration {
	if !proto.HasExtension(options, optionsv1.E_Timeout) {
		return 0
	}
	d, ok := proto.GetExtension(options, optionsv1.E_Timeout).(interface{ AsDuration() time.Duration })
	if !ok {
		return 0
	}
	return d.AsDuration()
}

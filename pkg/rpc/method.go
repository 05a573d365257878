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

// DefaultTimeout applies if neither the call nor the method has a timeout.
const DefaultTimeout = 5 * time.Second

// Method describes one method of a contract.
type Method struct {
	// FullMethod is the method's name in gRPC's form, e.g. "/souk.product.v1.ProductService/GetProduct".
	FullMethod string
	// Service is the protobuf name of the service, e.g. "souk.product.v1.ProductService".
	Service string
	// Name is the method's short name, e.g. "GetProduct".
	Name string
	// Access states who may call the method.
	Access *optionsv1.Access
	// Timeout applies to calls without a deadline.
	Timeout time.Duration
	// Idempotent methods may be called again after a call whose outcome is unknown.
	Idempotent bool
	// ReadOnly methods change nothing.
	ReadOnly bool
	// InFlight bounds the calls in flight; nil: they are not bounded.
	InFlight *optionsv1.InFlight

	input, output protoreflect.MessageDescriptor
}

// Target returns the short name of the service that a full method name belongs to: "product" for
// "/souk.product.v1.ProductService/GetProduct".
func Target(fullMethod string) string {
	name := strings.TrimPrefix(strings.TrimPrefix(fullMethod, "/"), "souk.")
	target, _, _ := strings.Cut(name, ".")
	return target
}

// FindMethod looks a method up in the contracts that are linked into the program.
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
		output:     md.Output(),
	}
	options, ok := md.Options().(*descriptorpb.MethodOptions)
	if !ok || options == nil {
		return m
	}
	m.Idempotent = options.GetIdempotencyLevel() != descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN
	m.ReadOnly = options.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS
	m.Access, _ = proto.GetExtension(options, optionsv1.E_Access).(*optionsv1.Access)
	m.InFlight, _ = proto.GetExtension(options, optionsv1.E_InFlight).(*optionsv1.InFlight)
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

// Package rpc implements calls between services. It contains the server side, the client side, and the transport
// for services in one process.
//
// A contract is an ordinary protobuf service with the stubs of protoc-gen-go-grpc. A [Server] collects
// implementations (it is a grpc.ServiceRegistrar) and answers calls from any transport. A [Transport] carries
// calls: [Local] between services in one process, natsrpc between processes. [NewClient] wraps a transport's
// connection; stubs use the wrapped one.
//
// The server handles a call in this order: limit of concurrent calls, panic recovery, deadline, tracing,
// identity, access (the method option souk.options.v1.access), decoding, validation (protovalidate, no U+0000), the
// signature of a page token, handler.
// The client: metrics, the method's default deadline, tracing, bounded retries of idempotent methods, the
// target's breaker, header. Errors are *errs.Error on both sides.
//
// Both transports pass the suite in rpctest. They differ only in speed.
package rpc

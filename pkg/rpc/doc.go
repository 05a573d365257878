// Package rpc is how services call each other: what happens around a handler, what happens around a
// call, and the transport inside one process.
//
// A contract is an ordinary protobuf service with the stubs of protoc-gen-go-grpc. A Server collects
// implementations (it is a grpc.ServiceRegistrar) and answers calls whatever way they come; a
// Transport carries them: Local in this package between services of one process, natsrpc between
// processes. NewClient wraps a Transport's connection into the one that stubs get.
//
// On the server side a call passes, in this order: the bound on concurrent calls, the recovery of panics,
// the deadline, tracing, identity, access (the method option souk.options.v1.access), decoding,
// validation (protovalidate), the handler. On the client side: metrics, the default deadline of the method, tracing,
// bounded retries of idempotent methods, the breaker of the target, the header. Errors are *errs.Error on both sides.
//
// Both transports pass the suite in rpctest: who uses one sees no difference, but for speed.
package rpc

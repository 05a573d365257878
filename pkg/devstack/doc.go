// Package devstack starts the private infrastructure of `souk dev` and of tests. PostgreSQL and Redis are
// in this package. NATS (natsserver), a development OpenID provider (oidcserver) and a mail sink (mailsink)
// are packages of their own, because of the libraries that they link.
//
// Each component has a Start function and a Stop method. There is no global state. A server never outlives
// the process that started it, however that process ends:
//
//   - On Linux a server is a direct child with a parent-death signal, so that the kernel stops it even
//     when souk is killed with SIGKILL.
//   - On other systems, and for Temporary servers, a small shell runs between the two. It holds the read
//     end of a pipe whose write end only this process has. When the pipe closes, it stops the server and
//     removes its temporary folder. It needs no goroutine, so that a test's leak check stays clean.
//
// A data directory belongs to one process at a time: see Lock.
package devstack

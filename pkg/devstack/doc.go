// Package devstack starts the private infrastructure of `souk dev` and of tests: PostgreSQL and Redis here,
// and in folders of their own, because of what they link, NATS (natsserver), a development OpenID provider
// (oidcserver) and a mail sink (mailsink).
//
// Each component has a Start function and a Stop method; nothing is global, and nothing outlives the
// process that started it, however that ends:
//
//   - On Linux a server is a direct child with a parent-death signal, so that the kernel stops it even
//     when souk is killed with SIGKILL.
//   - Elsewhere, and for Temporary servers, a small shell stands between: it holds the read end of a pipe
//     whose write end only this process has, and stops the server (and removes its temporary folder)
//     when the pipe closes. It costs the process no goroutine, so that a test's leak check stays clean.
//
// A data directory belongs to one process at a time: see Lock.
package devstack

package dev

import "syscall"

// childAttr puts a child into its own session. The kernel sends it SIGTERM when its parent dies for any reason.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGTERM}
}

package main

import "syscall"

// childAttr has the kernel stop a child when its parent dies, however that happens.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGTERM}
}

package devstack

import "syscall"

// diesWithParent makes the kernel send sig to the process when the thread that started it ends.
func diesWithParent(attr *syscall.SysProcAttr, sig syscall.Signal) bool {
	attr.Pdeathsig = sig
	return true
}

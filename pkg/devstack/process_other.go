//go:build !linux

package devstack

import "syscall"

// diesWithParent reports that this system has no parent-death signal.
func diesWithParent(*syscall.SysProcAttr, syscall.Signal) bool { return false }

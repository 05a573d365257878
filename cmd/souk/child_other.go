//go:build !linux

package main

import "syscall"

// childAttr puts a child into a session of its own.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

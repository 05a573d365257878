//go:build !linux

package main

import "syscall"

// childAttr puts a child into its own session.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

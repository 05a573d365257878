//go:build !linux

package dev

import "syscall"

// childAttr puts a child into its own session.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

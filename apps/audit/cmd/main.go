// Command audit runs the audit service in a process of its own.
package main

import (
	"souk/apps/audit"
	"souk/pkg/module"
)

func main() { module.Main(audit.Module) }

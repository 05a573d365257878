// Command security runs the security service in a process of its own.
package main

import (
	"souk/apps/security"
	"souk/pkg/module"
)

func main() { module.Main(security.Module) }

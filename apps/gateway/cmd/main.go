// Command gateway runs the gateway in a process of its own.
package main

import (
	"souk/apps/gateway"
	"souk/pkg/module"
)

func main() { module.Main(gateway.Module) }

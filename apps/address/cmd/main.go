// Command address runs the address service in a process of its own.
package main

import (
	"souk/apps/address"
	"souk/pkg/module"
)

func main() { module.Main(address.Module) }

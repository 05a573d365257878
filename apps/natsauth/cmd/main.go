// Command natsauth runs the natsauth service in a process of its own.
package main

import (
	"souk/apps/natsauth"
	"souk/pkg/module"
)

func main() { module.Main(natsauth.Module) }

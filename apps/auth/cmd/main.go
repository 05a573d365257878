// Command auth runs the auth service in a process of its own.
package main

import (
	"souk/apps/auth"
	"souk/pkg/module"
)

func main() { module.Main(auth.Module) }

// Command user runs the user service in a process of its own.
package main

import (
	"souk/apps/user"
	"souk/pkg/module"
)

func main() { module.Main(user.Module) }

// Command keyring runs the keyring service in a process of its own.
package main

import (
	"souk/apps/keyring"
	"souk/pkg/module"
)

func main() { module.Main(keyring.Module) }

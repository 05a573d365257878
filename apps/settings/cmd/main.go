// Command settings runs the settings service in a process of its own.
package main

import (
	"souk/apps/settings"
	"souk/pkg/module"
)

func main() { module.Main(settings.Module) }

// Command sample runs the sample service in a process of its own.
package main

import (
	"souk/pkg/module"
	sample "souk/tools/servicegen/templates/app"
)

func main() { module.Main(sample.Module) }

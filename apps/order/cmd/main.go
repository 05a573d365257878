// Command order runs the order service in a process of its own.
package main

import (
	"souk/apps/order"
	"souk/pkg/module"
)

func main() { module.Main(order.Module) }

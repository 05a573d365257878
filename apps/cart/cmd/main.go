// Command cart runs the cart service in a process of its own.
package main

import (
	"souk/apps/cart"
	"souk/pkg/module"
)

func main() { module.Main(cart.Module) }

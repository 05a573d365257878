// Command shop runs the shop service in a process of its own.
package main

import (
	"souk/apps/shop"
	"souk/pkg/module"
)

func main() { module.Main(shop.Module) }

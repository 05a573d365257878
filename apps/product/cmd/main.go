// Command product runs the product service alone.
package main

import (
	"souk/apps/product"
	"souk/pkg/module"
)

func main() { module.Main(product.Module) }

// Command payment runs the payment service in a process of its own.
package main

import (
	"souk/apps/payment"
	"souk/pkg/module"
)

func main() { module.Main(payment.Module) }

// Command voucher runs the voucher service in a process of its own.
package main

import (
	"souk/apps/voucher"
	"souk/pkg/module"
)

func main() { module.Main(voucher.Module) }

// Command webhook runs the webhook service in a process of its own.
package main

import (
	"souk/apps/webhook"
	"souk/pkg/module"
)

func main() { module.Main(webhook.Module) }

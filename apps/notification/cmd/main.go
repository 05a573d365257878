// Command notification runs the notification service in a process of its own.
package main

import (
	"souk/apps/notification"
	"souk/pkg/module"
)

func main() { module.Main(notification.Module) }

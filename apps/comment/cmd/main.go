// Command comment runs the comment service in a process of its own.
package main

import (
	"souk/apps/comment"
	"souk/pkg/module"
)

func main() { module.Main(comment.Module) }

package weblink_test

import (
	"fmt"

	"souk/pkg/weblink"
)

func ExampleIn() {
	fmt.Println(weblink.In("Zoë Müller"), weblink.In("You won! evil.com/prize"))
	// Output: false true
}

package logging_test

import (
	"fmt"

	"souk/pkg/logging"
)

func ExampleMask() {
	fmt.Println(logging.Mask("payment with 4111 1111 1111 1111 and Authorization: Bearer s3cr3t-t0k3n"))
	// Output: payment with [card] and Authorization: Bearer [token]
}

package card_test

import (
	"fmt"

	"souk/pkg/card"
)

func ExampleContains() {
	fmt.Println(card.Contains("my card: 4111,1111,1111,1111"))
	fmt.Println(card.Contains("call +55 11 98765-4321"))
	// Output:
	// true
	// false
}

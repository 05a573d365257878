package postal_test

import (
	"fmt"

	"souk/pkg/postal"
)

func ExampleNormalize() {
	a, wrong := postal.Normalize(postal.Address{
		Name: "Ana", Line1: "Rua das Flores 1", City: "Fortaleza", PostalCode: "60000-000", CountryCode: "BR",
	})
	fmt.Println(a.Region, wrong)
	_, wrong = postal.Normalize(postal.Address{Name: "Ana", Line1: "1 High St", City: "Bath", CountryCode: "GB"})
	fmt.Println(wrong[0].Path, wrong[0].Message)
	// Output:
	// CE []
	// postalCode is required
}

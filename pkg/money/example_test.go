package money_test

import (
	"fmt"

	"souk/pkg/money"
)

func ExampleMoney_Split() {
	shipping := money.New(1000, "BRL")
	for _, part := range shipping.Split([]int64{1, 1, 1}) {
		fmt.Println(part)
	}
	// Output:
	// BRL 3.34
	// BRL 3.33
	// BRL 3.33
}

func ExampleParse() {
	price, err := money.Parse("53.98", "BRL")
	if err != nil {
		fmt.Println(err)
		return
	}
	line, err := price.Mul(3)
	fmt.Println(line, err)
	_, err = money.Parse("53.9", "BRL")
	fmt.Println(err)
	// Output:
	// BRL 161.94 <nil>
	// invalid_argument: the amount must be a decimal number with exactly 2 digits after the point
}

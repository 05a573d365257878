package failpoint_test

import (
	"context"
	"fmt"

	"souk/pkg/failpoint"
)

func ExampleEnable() {
	disable := failpoint.Enable("transfer.after_debit", failpoint.Error(nil).Times(1))
	defer disable()

	fmt.Println(failpoint.Hit(context.Background(), "transfer.after_debit"))
	fmt.Println(failpoint.Hit(context.Background(), "transfer.after_debit"))
	// Output:
	// unavailable: failpoint transfer.after_debit
	// <nil>
}

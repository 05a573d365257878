package batch_test

import (
	"context"
	"fmt"

	"souk/pkg/batch"
)

func ExampleBatcher() {
	b := batch.New(64, func(_ context.Context, quantities []int) ([]batch.Result[string], error) {
		// One transaction for all of them.
		results := make([]batch.Result[string], len(quantities))
		for i, n := range quantities {
			results[i].Value = fmt.Sprintf("%d reserved", n)
		}
		return results, nil
	})
	defer b.Close()
	answer, err := b.Submit(context.Background(), 3)
	fmt.Println(answer, err)
	// Output: 3 reserved <nil>
}

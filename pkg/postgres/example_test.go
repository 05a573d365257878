package postgres_test

import (
	"context"
	"fmt"

	"souk/pkg/postgres"
)

func ExampleGroup() {
	g := postgres.NewGroup(64, func(_ context.Context, quantities []int) ([]postgres.Result[string], error) {
		// One transaction for all of them.
		results := make([]postgres.Result[string], len(quantities))
		for i, n := range quantities {
			results[i].Value = fmt.Sprintf("%d reserved", n)
		}
		return results, nil
	})
	defer g.Close()
	answer, err := g.Do(context.Background(), 3)
	fmt.Println(answer, err)
	// Output: 3 reserved <nil>
}

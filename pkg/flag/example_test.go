package flag_test

import (
	"context"
	"fmt"

	"github.com/open-feature/go-sdk/openfeature"

	"souk/pkg/flag"
)

func ExampleNewClient() {
	ctx := context.Background()
	set := flag.NewSet([]flag.Flag{{
		Key: "new-checkout", Enabled: true,
		Variants: map[string]any{"on": true, "off": false}, DefaultVariant: "off",
		Rules: []flag.Rule{{If: flag.Condition{Countries: []string{"BR"}}, Variant: "on"}},
	}})
	features, err := flag.NewClient(ctx, func() *flag.Set { return set })
	if err != nil {
		fmt.Println(err)
		return
	}
	brazil, portugal := flag.Target{ID: "usr_1", Country: "BR"}, flag.Target{ID: "usr_1", Country: "PT"}
	none := openfeature.EvaluationContext{}
	fmt.Println(features.Boolean(flag.NewContext(ctx, brazil), "new-checkout", false, none))
	fmt.Println(features.Boolean(flag.NewContext(ctx, portugal), "new-checkout", false, none))
	fmt.Println(features.Boolean(ctx, "no-such-flag", true, none))
	// Output:
	// true
	// false
	// true
}

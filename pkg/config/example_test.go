package config_test

import (
	"fmt"
	"time"

	"souk/pkg/config"
)

func ExampleTree_Decode() {
	type settings struct {
		Addr    string        `yaml:"addr"`
		Timeout time.Duration `yaml:"timeout"`
	}
	tree, err := config.Load("", []string{"SOUK_GATEWAY_TIMEOUT=3s"})
	if err != nil {
		fmt.Println(err)
		return
	}
	cfg := settings{Addr: "127.0.0.1:8080", Timeout: time.Second}
	fmt.Println(tree.Decode("gateway", &cfg), cfg.Addr, cfg.Timeout)

	tree, _ = config.Load("", []string{"SOUK_GATEWAY_TIMEOT=3s"})
	fmt.Println(tree.Decode("gateway", &cfg))
	// Output:
	// <nil> 127.0.0.1:8080 3s
	// invalid_argument: config: SOUK_GATEWAY_TIMEOT: no setting has this variable; did you mean "SOUK_GATEWAY_TIMEOUT"?
}

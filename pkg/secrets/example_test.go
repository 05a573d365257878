package secrets_test

import (
	"fmt"

	"souk/pkg/config"
	"souk/pkg/secrets"
)

func Example() {
	type mail struct {
		Password secrets.Value `yaml:"password"`
	}
	// In a file: mail: {password: "env:MAIL_PASSWORD"}
	tree, err := config.Load("", []string{"SOUK_MAIL_PASSWORD=env:MAIL_PASSWORD", "MAIL_PASSWORD=hunter2"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tree.Secrets().Close()
	var cfg mail
	if err := tree.Decode("mail", &cfg); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cfg)
	fmt.Println(cfg.Password.Masked())
	fmt.Println(len(cfg.Password.Get()))
	// Output:
	// {[redacted]}
	// env:MAIL_PASSWORD
	// 7
}

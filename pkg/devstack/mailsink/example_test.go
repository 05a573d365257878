package mailsink_test

import (
	"context"
	"fmt"
	"net/smtp"

	"souk/pkg/devstack/mailsink"
)

func Example() {
	ctx := context.Background()
	sink, err := mailsink.Start(ctx, mailsink.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = sink.Stop(ctx) }()
	mail := "Subject: =?utf-8?q?Ol=C3=A1?=\r\n\r\nYour order is on its way.\r\n"
	if err := smtp.SendMail(
		sink.Addr(), nil, "shop@souk.example", []string{"ana@example.com"}, []byte(mail),
	); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(sink.Messages()[0].Subject)
	// Output: Olá
}

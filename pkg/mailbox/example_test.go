package mailbox_test

import (
	"bytes"
	"fmt"

	"souk/pkg/mailbox"
)

func ExampleDigest() {
	a := mailbox.Digest("typed", "Ana.Souza+souk@gmail.com")
	fmt.Println(bytes.Equal(a, mailbox.Digest("typed", "anasouza@googlemail.com")))
	fmt.Println(bytes.Equal(a, mailbox.Digest("own", "anasouza@gmail.com")))
	// Output:
	// true
	// false
}

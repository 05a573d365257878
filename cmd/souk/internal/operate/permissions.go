package operate

import (
	"fmt"
	"io"

	"souk/gen/go/souk/services"
	"souk/pkg/natsauth"
)

// Permissions prints what each service, and the commands of operators, may do on NATS.
func Permissions(out io.Writer) error {
	for _, name := range append(services.Names(), natsauth.Operator) {
		p := natsauth.PermissionOf(name)
		if _, err := fmt.Fprintln(out, name); err != nil {
			return err
		}
		for _, list := range []struct {
			verb     string
			subjects []string
		}{{"publish", p.Publish}, {"subscribe", p.Subscribe}} {
			for _, subject := range list.subjects {
				if _, err := fmt.Fprintf(out, "  %-9s  %s\n", list.verb, subject); err != nil {
					return err
				}
			}
		}
		if p.Respond {
			if _, err := fmt.Fprintln(out, "  answer what it receives"); err != nil {
				return err
			}
		}
	}
	return nil
}

package secrets

import "sync"

// Derived is what was made of a secret, such as a key of a password. It is made again when the secret changes.
type Derived[T any] struct {
	secret Value
	derive func(string) (T, error)

	mu   sync.Mutex
	from string
	made T
}

// Derive returns what a function makes of a secret, and makes it again when the secret changes.
//
// Errors: those of the function.
func Derive[T any](secret Value, derive func(string) (T, error)) (*Derived[T], error) {
	d := &Derived[T]{secret: secret, derive: derive, from: secret.Get()}
	var err error
	d.made, err = derive(d.from)
	return d, err
}

// Get returns what was made of the secret of now. If nothing can be made of a changed one, what was made last stays,
// with a warning.
func (d *Derived[T]) Get() T {
	now := d.secret.Get()
	d.mu.Lock()
	defer d.mu.Unlock()
	if now == d.from {
		return d.made
	}
	d.from = now
	made, err := d.derive(now)
	if err != nil {
		if v := d.secret.get(); v != nil && v.from != nil {
			v.from.warn("a changed secret cannot be used; the last one stays", v.setting, err)
		}
		return d.made
	}
	d.made = made
	return made
}

//go:build !none

package sample

// Config is the sample service's configuration, section "sample".
type Config struct {
	// ReadOnly refuses all changes as unavailable, as during maintenance. Default false.
	ReadOnly bool `yaml:"read_only"`
}

// Default returns the default configuration.
func Default() Config { return Config{} }

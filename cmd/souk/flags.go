package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"souk/cmd/souk/internal/api"
	"souk/cmd/souk/internal/dev"
	"souk/cmd/souk/internal/operate"
)

// dataFlag is the flag --data-dir. Commands find a running souk dev there.
type dataFlag struct{ dir string }

func (f *dataFlag) running() (*dev.State, error) { return dev.Running(f.dir) }

// source says which souk a command operates on: that of --config, or the running souk dev.
func (f *dataFlag) source(file *configFlag) operate.Source {
	return operate.Source{Config: file.path, DataDir: f.dir, Modules: modules()}
}

func (f *dataFlag) open(file *configFlag) (*operate.Souk, error) { return operate.Open(f.source(file)) }

// configFlag is the flag --config, the path of a configuration file.
type configFlag struct{ path string }

func (f *configFlag) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.path, "config", os.Getenv("SOUK_CONFIG"),
		"configuration file (YAML); SOUK_… variables override it")
}

// apiFlags say which API a command calls, and with which token.
type apiFlags struct{ url, token string }

func (f *apiFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.url, "url", os.Getenv("SOUK_URL"), "address of the API; default: the running souk dev's")
	cmd.Flags().StringVar(&f.token, "token", os.Getenv("SOUK_TOKEN"),
		"bearer token; default: an operator's of the running souk dev")
}

// client returns a client of the API that the flags name. What the flags leave open comes from the running souk dev.
func (f *apiFlags) client(ctx context.Context, data *dataFlag) (*api.Client, error) {
	url, token := f.url, f.token
	if url != "" && token != "" {
		return api.New(url, token), nil
	}
	state, err := data.running()
	if err != nil {
		if url == "" {
			return nil, fmt.Errorf("%w; or name an API with --url and --token", err)
		}
		return nil, fmt.Errorf("a token is needed: give it with --token (%w)", err)
	}
	if url == "" {
		url = state.URL
	}
	if token == "" {
		if token, err = state.OperatorToken(ctx); err != nil {
			return nil, err
		}
	}
	return api.New(url, token), nil
}

// Package settings reads the configuration of souk's processes and checks it before anything starts.
package settings

import (
	"errors"
	"slices"

	"souk/gen/go/souk/services"
	"souk/pkg/config"
	"souk/pkg/logging"
	"souk/pkg/module"
	"souk/pkg/redisx"
	"souk/pkg/secrets"
	"souk/pkg/telemetry"
)

// ofCommands are the SOUK_… variables that commands read. They configure no service.
var ofCommands = []string{"SOUK_CONFIG", "SOUK_TARGET", "SOUK_URL", "SOUK_TOKEN"}

// ErrNoNATS is the error of a configuration that needs NATS and names no server.
var ErrNoNATS = errors.New(
	"nats.url is not set: give the URL of the NATS servers in the configuration, e.g. nats://nats:4222",
)

// Load reads a file, "" for none, and the environment, which overrides it. Errors: invalid.
func Load(path string, environ []string) (*config.Tree, error) {
	tree, err := config.Load(path, environ, ofCommands...)
	if err != nil {
		return nil, err
	}
	return tree, checkSections(tree)
}

// LoadFor is [Load] and [Check]. It reports the mistakes of both at once. Errors: invalid.
func LoadFor(path string, environ []string, selected []module.Module) (*config.Tree, error) {
	tree, err := config.Load(path, environ, ofCommands...)
	if err != nil {
		return nil, err
	}
	return tree, config.Join(checkSections(tree), Check(tree, selected))
}

func checkSections(tree *config.Tree) error {
	return tree.CheckSections(append(module.Sections(), services.Names()...)...)
}

// Check decodes all sections that a process with these modules reads, so that mistakes are reported before
// anything starts. Errors: invalid.
func Check(tree *config.Tree, selected []module.Module) error {
	transport := rpcSettings{RPCConfig: module.RPCConfig{Transport: "inprocess", Limit: 1}, of: selected}
	sections := []config.Section{
		{Name: "log", Into: new(logging.Default())},
		{Name: "telemetry", Into: new(telemetry.Default())},
		{Name: "admin", Into: &module.AdminConfig{}},
		{Name: "rpc", Into: &transport},
		{Name: "identity", Into: new(module.DefaultIdentity())},
		{Name: "vault", Into: new(secrets.DefaultVault())},
		{Name: "documents", Into: &module.DocumentsConfig{}},
		{Name: "postgres", Into: &postgresSettings{PostgresConfig: module.DefaultPostgres(), of: selected}},
	}
	var uses []func() bool // whether each service needs Redis, once its section is decoded
	for _, m := range selected {
		var own any = &struct{}{}
		if m.Config != nil {
			own = m.Config()
		}
		if m.Redis != nil {
			uses = append(uses, func() bool { return m.Redis(own) })
		}
		sections = append(sections, config.Section{Name: m.Name, Into: own})
	}
	redis := func() bool { return slices.ContainsFunc(uses, func(needed func() bool) bool { return needed() }) }
	nats := func() bool { return transport.Transport == "nats" || slices.ContainsFunc(selected, usesNATS) }
	return tree.DecodeAll(append(sections,
		config.Section{Name: "redis", Into: &redisSettings{Config: redisx.Default(), needed: redis}},
		config.Section{Name: "cache", Into: new(module.DefaultCache())},
		config.Section{Name: "nats", Into: &natsSettings{needed: nats}},
	)...)
}

func usesNATS(m module.Module) bool { return m.Tables.Outbox || m.NATS }

// rpcSettings is invalid if calls stay in a process that does not run all services.
type rpcSettings struct {
	module.RPCConfig `yaml:",inline"`
	of               []module.Module
}

func (c *rpcSettings) Validate() error {
	return errors.Join(c.RPCConfig.Validate(), c.CheckSplit(c.of))
}

// postgresSettings is invalid if it names no database for one of the modules.
type postgresSettings struct {
	module.PostgresConfig `yaml:",inline"`
	of                    []module.Module
}

func (c *postgresSettings) Validate() error {
	for _, m := range c.of {
		if len(m.Sets()) == 0 {
			continue
		}
		if _, err := c.ServiceURL(m.Name); err != nil {
			return errors.Join(c.PostgresConfig.Validate(), err)
		}
	}
	return c.PostgresConfig.Validate()
}

// redisSettings are not checked if no module needs Redis.
type redisSettings struct {
	redisx.Config `yaml:",inline"`
	needed        func() bool
}

func (c *redisSettings) Validate() error {
	if !c.needed() {
		return nil
	}
	return c.Config.Validate()
}

// natsSettings is invalid if a module needs NATS and no server is set.
type natsSettings struct {
	module.NATSConfig `yaml:",inline"`
	needed            func() bool
}

func (c *natsSettings) Validate() error {
	if c.needed() && !c.URL.IsSet() {
		return ErrNoNATS
	}
	return c.NATSConfig.Validate()
}

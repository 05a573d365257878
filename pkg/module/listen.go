package module

import (
	"github.com/nats-io/nats.go"

	settingsv1 "souk/gen/go/souk/settings/v1"
	"souk/pkg/setting"
)

// Settings returns a client of the system settings and flags, for a module whose configuration gives the configured
// values to its settings. The module must run it.
func (p *Platform) Settings(configured setting.Values) (*setting.Client, error) {
	conn, err := p.Client()
	if err != nil {
		return nil, err
	}
	return setting.NewClient(setting.Options{
		Service: settingsv1.NewSettingsServiceClient(conn), Listen: p.listen, Configured: configured, Logger: p.logger,
		Metrics: p.metrics,
	})
}

// listen calls wake for each event of settings and flags. The events come as plain messages, without a consumer: one
// that is lost is made up for by the client's poll.
func (p *Platform) listen(wake func()) (stop func(), err error) {
	nc, err := p.shared.nats()
	if err != nil {
		return nil, err
	}
	var subscriptions []*nats.Subscription
	stop = func() {
		for _, s := range subscriptions {
			_ = s.Unsubscribe() // ignored: it fails only if the connection is closed, and takes the subscription with it
		}
	}
	for _, subject := range setting.Subjects() {
		s, err := nc.Subscribe(subject, func(*nats.Msg) { wake() })
		if err != nil {
			stop()
			return nil, err
		}
		subscriptions = append(subscriptions, s)
	}
	return stop, nil
}

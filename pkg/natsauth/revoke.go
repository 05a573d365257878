package natsauth

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
)

const (
	// revokeInterval is the time between two looks for connections with a revoked certificate.
	revokeInterval = 15 * time.Second
	// pingWait is how long servers have to say that they are there.
	pingWait = time.Second
	// connectionPage is how many connections a server lists at once.
	connectionPage = 1000
)

// EndRevoked ends connections whose certificate is revoked, until ctx ends. nc is connected as [SystemUser].
func EndRevoked(ctx context.Context, nc *nats.Conn, revoked func() map[string]bool, log *zap.Logger) {
	tick := time.NewTicker(revokeInterval)
	defer tick.Stop()
	for {
		if ids := revoked(); len(ids) > 0 {
			if err := endOnce(ctx, nc, ids, log); err != nil && ctx.Err() == nil {
				log.Error(
					"connections with revoked certificates could not be ended; the next try follows",
					zap.Error(err),
				)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func endOnce(ctx context.Context, nc *nats.Conn, revoked map[string]bool, log *zap.Logger) error {
	servers, err := findServers(ctx, nc)
	if err != nil {
		return err
	}
	for _, server := range servers {
		for offset := 0; ; {
			var page struct {
				Data struct {
					Total       int `json:"total"`
					Connections []struct {
						CID  uint64 `json:"cid"`
						User string `json:"authorized_user"`
					} `json:"connections"`
				} `json:"data"`
			}
			query := map[string]any{"auth": true, "limit": connectionPage, "offset": offset}
			if err := ask(ctx, nc, "$SYS.REQ.SERVER."+server+".CONNZ", query, &page); err != nil {
				return err
			}
			for _, c := range page.Data.Connections {
				services, id, _ := strings.Cut(c.User, certificateMark)
				if !revoked[id] {
					continue
				}
				if err := ask(
					ctx,
					nc,
					"$SYS.REQ.SERVER."+server+".KICK",
					map[string]any{"cid": c.CID},
					nil,
				); err != nil {
					return err
				}
				log.Warn("a connection to NATS was ended: its certificate is revoked", zap.String("services", services))
			}
			offset += connectionPage
			if offset >= page.Data.Total {
				break
			}
		}
	}
	return nil
}

// findServers returns the IDs of all servers of the cluster.
func findServers(ctx context.Context, nc *nats.Conn) ([]string, error) {
	inbox := nats.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection may be closed
	if err := nc.PublishRequest("$SYS.REQ.SERVER.PING.IDZ", inbox, nil); err != nil {
		return nil, err
	}
	var out []string
	ctx, cancel := context.WithTimeout(ctx, pingWait)
	defer cancel()
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			if len(out) == 0 {
				return nil, fmt.Errorf("no NATS server answers: %w", err)
			}
			return out, nil
		}
		var server struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal(m.Data, &server); err != nil {
			return nil, fmt.Errorf("a NATS server's answer: %w", err)
		}
		out = append(out, server.ID)
	}
}

func ask(ctx context.Context, nc *nats.Conn, subject string, query map[string]any, into any) error {
	raw, err := json.Marshal(query)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	m, err := nc.RequestWithContext(ctx, subject, raw)
	if err != nil {
		return fmt.Errorf("%s: %w", subject, err)
	}
	var failure struct {
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &failure); err != nil {
		return fmt.Errorf("%s: %w", subject, err)
	}
	if failure.Error != nil {
		return fmt.Errorf("%s: %s", subject, failure.Error.Description)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(m.Data, into)
}

package repository

import (
	"encoding/json"
	"strings"

	"souk/apps/payment/internal/domain"
	"souk/pkg/errs"
	"souk/pkg/event"
)

// metadata encodes an event's metadata as the outbox stores it.
func metadata(e event.Event) (string, error) {
	if len(e.Metadata) == 0 {
		return "{}", nil
	}
	b, err := json.Marshal(e.Metadata)
	if err != nil {
		return "", errs.Wrap(err, errs.Internal, "event %s: its metadata cannot be encoded", e.ID)
	}
	return string(b), nil
}

// froms lists the statuses that next may follow, separated by commas, for SQL.
func froms(next domain.Status) string {
	var out []string
	for _, s := range domain.Before(next) {
		out = append(out, string(s))
	}
	return strings.Join(out, ",")
}

func cmpString(a, b string) int { return strings.Compare(a, b) }

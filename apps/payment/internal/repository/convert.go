package repository

import (
	"strings"

	"souk/apps/payment/internal/domain"
)

// froms lists the statuses that next may follow, separated by commas, for SQL.
func froms(next domain.Status) string {
	var out []string
	for _, s := range domain.Before(next) {
		out = append(out, string(s))
	}
	return strings.Join(out, ",")
}

func cmpString(a, b string) int { return strings.Compare(a, b) }

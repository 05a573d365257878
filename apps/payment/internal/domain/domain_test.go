package domain_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/apps/payment/internal/domain"
	"souk/pkg/errs"
	"souk/pkg/money"
)

func TestStatusesFollowTheTransitionTable(t *testing.T) {
	t.Parallel()
	allowed := map[domain.Status][]domain.Status{
		domain.Pending:           {domain.Authorized, domain.Captured, domain.Failed, domain.Voided},
		domain.Authorized:        {domain.Captured, domain.Voided},
		domain.Captured:          {domain.PartiallyRefunded, domain.Refunded},
		domain.PartiallyRefunded: {domain.PartiallyRefunded, domain.Refunded},
	}
	for _, from := range domain.Statuses {
		for _, to := range domain.Statuses {
			want := slices.Contains(allowed[from], to)
			require.Equal(t, want, from.CanBecome(to), "%s to %s", from, to)
			require.Equal(t, want, slices.Contains(domain.Before(to), from))
		}
	}
}

func TestStatusDecidesWhatAPaymentAllows(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status    domain.Status
		voiding   bool
		authorize errs.Code
		capture   errs.Code
	}{
		{domain.Pending, false, errs.Unavailable, ""}, // the provider knows
		{domain.Pending, true, errs.Conflict, errs.Conflict},
		{domain.Authorized, false, "", ""},
		{domain.Authorized, true, errs.Conflict, errs.Conflict},
		{domain.Captured, false, "", ""},
		{domain.PartiallyRefunded, false, "", ""},
		{domain.Refunded, false, "", ""},
		{domain.Failed, false, errs.PaymentDeclined, errs.PaymentDeclined},
		{domain.Voided, true, errs.Conflict, errs.Conflict},
	} {
		p := domain.Payment{Status: c.status, VoidRequested: c.voiding, Amount: money.New(100, "BRL")}
		require.Equal(t, c.authorize, errs.CodeOf(p.Authorization()), "%s: authorize", c.status)
		require.Equal(t, c.capture, errs.CodeOf(p.CanCapture()), "%s: capture", c.status)
	}
}

func TestClaimTakesAtMostWhatIsLeft(t *testing.T) {
	t.Parallel()
	amount := func(minor int64, c money.Currency) *money.Money { m := money.New(minor, c); return &m }
	for name, c := range map[string]struct {
		status            domain.Status
		captured, claimed int64
		amount            *money.Money
		want              int64
		code              errs.Code
	}{
		"all":              {domain.Captured, 100, 0, nil, 100, ""},
		"the rest":         {domain.PartiallyRefunded, 100, 60, nil, 40, ""},
		"some":             {domain.Captured, 100, 60, amount(40, "BRL"), 40, ""},
		"too much":         {domain.Captured, 100, 60, amount(41, "BRL"), 0, errs.Unprocessable},
		"nothing left":     {domain.Refunded, 100, 100, nil, 0, errs.Conflict},
		"zero":             {domain.Captured, 100, 0, amount(0, "BRL"), 0, errs.Invalid},
		"negative":         {domain.Captured, 100, 0, amount(-1, "BRL"), 0, errs.Invalid},
		"another currency": {domain.Captured, 100, 0, amount(1, "USD"), 0, errs.Invalid},
		"not captured":     {domain.Authorized, 0, 0, nil, 0, errs.Conflict},
		"voided":           {domain.Voided, 0, 0, nil, 0, errs.Conflict},
	} {
		p := domain.Payment{
			Status:        c.status,
			Amount:        money.New(100, "BRL"),
			Captured:      c.captured,
			RefundClaimed: c.claimed,
		}
		got, err := p.Claim(c.amount)
		require.Equal(t, c.code, errs.CodeOf(err), "%s: %v", name, err)
		require.Equal(t, c.want, got, name)
	}
}

func TestTombstoneRefusesAuthorization(t *testing.T) {
	t.Parallel()
	p := domain.Tombstone("ord_1", time.Now())
	require.True(t, p.IsTombstone())
	require.Equal(t, errs.Conflict, errs.CodeOf(p.Authorization()))
	require.False(t, domain.Payment{Status: domain.Voided, Amount: money.New(1, "BRL")}.IsTombstone())
}

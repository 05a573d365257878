package operate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"souk/apps/order"
	"souk/cmd/souk/internal/api"
	moneyv1 "souk/gen/go/souk/money/v1"
	paymentv1 "souk/gen/go/souk/payment/v1"
	"souk/pkg/errs"
	"souk/pkg/money"
	"souk/pkg/postgres"
	"souk/pkg/saga"
)

const (
	// chargesMargin is how long before the restored moment the charges are compared: clocks differ, and a charge is made
	// before its payment is captured.
	chargesMargin = time.Hour
	// undoTimeout is how long the sagas that undo lost orders may take, together.
	undoTimeout = 10 * time.Minute
	undoPoll    = 100 * time.Millisecond
)

// RestoredOptions are the options of [Souk.VerifyRestored].
type RestoredOptions struct {
	VerifyOptions
	// Moment is the moment to which the databases were restored.
	Moment time.Time
	// Repair gives back what is kept for orders that were lost. Without it they are only listed.
	Repair bool
	// URL is the address of souk's API, and Token an operator's bearer token, for the comparison with the payment
	// provider. Without them, those of the running souk dev are used; with a configuration, the comparison is skipped.
	URL, Token string
}

// VerifyRestored brings the databases of a souk together that was restored from backups, and checks all invariants. It
// publishes the outboxes again, since consumers may be behind. It compares the charges that the payment provider has
// made since the moment with the payments, since the provider is ahead. It finds orders that were lost although another
// service keeps money, stock or vouchers for them, since that service's database is ahead of the order service's.
//
// It may be interrupted and called again. It fails if an invariant is broken.
func (s *Souk) VerifyRestored(ctx context.Context, out io.Writer, o RestoredOptions) error {
	client, err := s.operatorAPI(ctx, o.URL, o.Token)
	if err != nil {
		return err
	}
	if err := s.ReplayEvents(ctx, out, "", time.Time{}); err != nil {
		return err
	}
	if err := compareCharges(ctx, out, client, o); err != nil {
		return err
	}
	report, err := s.verifyAll(ctx, o.VerifyOptions)
	if err != nil {
		return err
	}
	lost := report.LostOrders
	if len(lost) == 0 || !o.Repair {
		err := judge(out, report, false)
		if len(lost) > 0 {
			fmt.Fprintf(
				out,
				"lost orders: %d. Other services keep money, stock or vouchers for them; --repair gives it back\n",
				len(lost),
			)
		}
		return err
	}
	if err := s.undoLost(ctx, out, lost); err != nil {
		return err
	}
	if report, err = s.verifyAll(ctx, o.VerifyOptions); err != nil {
		return err
	}
	return judge(out, report, false)
}

// operatorAPI returns a client with an operator's token, or nil if no token is known.
func (s *Souk) operatorAPI(ctx context.Context, url, token string) (*api.Client, error) {
	switch {
	case url != "" && token != "":
		return api.New(url, token), nil
	case url != "" || token != "":
		return nil, errors.New("--url and --token go together")
	case s.state == nil:
		return nil, nil //nolint:nilnil // the caller says so
	}
	token, err := s.state.OperatorToken(ctx)
	if err != nil {
		return nil, err
	}
	return api.New(s.state.URL, token), nil
}

// compareCharges compares the provider's charges with the payments, all pages, and prints what differs.
func compareCharges(ctx context.Context, out io.Writer, client *api.Client, o RestoredOptions) error {
	if client == nil {
		fmt.Fprintln(o.Warnings, "the payment provider's charges are not compared: name the API with --url and --token")
		return nil
	}
	req := &paymentv1.ReconcilePaymentsRequest{
		Since: timestamppb.New(o.Moment.Add(-chargesMargin)), GiveBack: o.Repair, PageSize: 100,
	}
	var compared, applied, unknown int32
	for {
		var page paymentv1.ReconcilePaymentsResponse
		if err := client.Call(ctx, http.MethodPost, "/v1/operator/payments:reconcile", req, &page); err != nil {
			return fmt.Errorf("compare the payment provider's charges: %w", err)
		}
		compared, applied = compared+page.GetCompared(), applied+page.GetApplied()
		for _, d := range page.GetDifferences() {
			if d.GetPaymentStatus() == "" {
				unknown++
			}
			writeDifference(out, d)
		}
		if req.PageToken = page.GetNextPageToken(); req.PageToken == "" {
			break
		}
	}
	fmt.Fprintf(
		out,
		"charges of the payment provider: %d; payments brought up to date: %d; charges without a payment: %d\n",
		compared,
		applied,
		unknown,
	)
	if unknown > 0 && !o.Repair {
		fmt.Fprintln(out, "--repair voids the charges without a payment, or pays them back")
	}
	return nil
}

func writeDifference(out io.Writer, d *paymentv1.ChargeDifference) {
	what := fmt.Sprintf("its payment of order %s is %s", d.GetOrderId(), d.GetPaymentStatus())
	switch {
	case d.GetGivenBack():
		what = "it has no payment: given back"
	case d.GetPaymentStatus() == "":
		what = "it has no payment"
	}
	fmt.Fprintf(out, "charge %s of %s is %s, captured %s, refunded %s: %s\n", d.GetPaymentId(),
		d.GetCreatedAt().AsTime().Format(time.RFC3339), d.GetChargeStatus(),
		amount(d.GetCaptured()), amount(d.GetRefunded()), what)
}

// amount shows an amount of an answer.
func amount(m *moneyv1.Money) string {
	read, err := money.FromProto(m)
	if err != nil {
		return "an unknown amount"
	}
	return read.String()
}

// undoLost starts a saga for each lost order and waits until all have ended.
//
// Errors: timeout; conflict (a saga was parked, or found the order).
func (s *Souk) undoLost(ctx context.Context, out io.Writer, orderIDs []string) error {
	pool, err := s.open(ctx, order.Module.Name)
	if err != nil {
		return err
	}
	defer pool.Close()
	var sagaIDs []string
	for _, orderID := range orderIDs {
		sagaID, err := order.UndoLost(ctx, pool, orderID)
		if err != nil {
			return err
		}
		sagaIDs = append(sagaIDs, sagaID)
	}
	fmt.Fprintf(out, "lost orders: %d. Giving back money, stock and vouchers (souk saga ls)\n", len(orderIDs))
	ctx, cancel := context.WithTimeout(ctx, undoTimeout)
	defer cancel()
	for _, sagaID := range sagaIDs {
		if err := awaitUndone(ctx, pool, sagaID); err != nil {
			return err
		}
	}
	return nil
}

func awaitUndone(ctx context.Context, db postgres.Querier, sagaID string) error {
	for {
		found, err := saga.Show(ctx, db, sagaID)
		switch {
		case err != nil:
			return err
		case found.State == saga.Done:
			return nil
		case found.State == saga.Parked, found.State == saga.Compensated:
			return errs.New(errs.Conflict, "the saga %s is %s: souk saga show %s says why", sagaID, found.State, sagaID)
		}
		select {
		case <-ctx.Done():
			return errs.Wrap(ctx.Err(), errs.Timeout, "the saga %s has not ended: run the command again", sagaID)
		case <-time.After(undoPoll):
		}
	}
}

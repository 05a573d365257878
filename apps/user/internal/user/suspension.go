package user

import (
	"context"
	"math"
	"time"

	"google.golang.org/grpc"

	authv1 "souk/gen/go/souk/auth/v1"
	"souk/pkg/errs"
)

// SuspensionSubjects are the events after which auth must know whether a user is suspended. An erased user is out as a
// suspended one.
var SuspensionSubjects = []string{"evt.user.suspended", "evt.user.reinstated", "evt.user.erased"}

// SuspensionRetries is the number of attempts at such an event: a suspension must reach auth, however long auth does not
// answer.
const SuspensionRetries = 100_000

// SuspensionBackoff returns the delays between the attempts.
func SuspensionBackoff() []time.Duration {
	return []time.Duration{100 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second}
}

// Auth is the part of the auth service that the user service calls.
type Auth interface {
	EndSessions(
		ctx context.Context, in *authv1.EndSessionsRequest, opts ...grpc.CallOption,
	) (*authv1.EndSessionsResponse, error)
	SetSuspension(
		ctx context.Context, in *authv1.SetSuspensionRequest, opts ...grpc.CallOption,
	) (*authv1.SetSuspensionResponse, error)
}

// Suspensions passes on to auth who is suspended.
type Suspensions struct {
	store *Store
	auth  Auth
}

// NewSuspensions returns Suspensions of a store.
func NewSuspensions(store *Store, auth Auth) *Suspensions {
	return &Suspensions{store: store, auth: auth}
}

// passOn says what the user is now, with the revision, so that it may be called again and late.
func (s *Suspensions) passOn(ctx context.Context, userID string) error {
	now := &authv1.SetSuspensionRequest{UserId: userID, Suspended: true, Revision: math.MaxInt64}
	d, err := s.store.users.Get(ctx, userID)
	switch {
	case errs.Is(err, errs.NotFound): // erased, for ever
	case err != nil:
		return err
	default:
		now.Suspended, now.Revision = !d.Value.SuspendedAt.IsZero(), d.Revision
	}
	_, err = s.auth.SetSuspension(ctx, now)
	return err
}

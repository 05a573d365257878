package user

import (
	"context"
	"slices"
	"time"

	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/errs"
	"souk/pkg/event"
)

// maxDevices is the most browsers of a user that are remembered. A new one replaces the one that was not used for the
// longest time.
const maxDevices = 20

// devices are the browsers with which a user has signed in, by digest, the one that was used last at the end.
type devices struct {
	UserID  string   `json:"userId"`
	Digests []string `json:"digests"`
}

// SignedIn remembers a browser of a user, and reports whether it is new. A user's first one is not.
//
// Errors: conflict, unavailable.
func (s *Store) SignedIn(ctx context.Context, userID, device string, now time.Time) (isNew bool, err error) {
	remember := func(d *devices) ([]event.Event, error) {
		known := len(d.Digests)
		d.Digests = append(slices.DeleteFunc(d.Digests, func(s string) bool { return s == device }), device)
		if isNew = len(d.Digests) > known; !isNew {
			return nil, nil
		}
		d.Digests = d.Digests[max(0, len(d.Digests)-maxDevices):]
		e, err := event.New(ctx, subjectNewDevice, userID, 0, now, &userv1.NewDevice{UserId: userID})
		return []event.Event{e}, err
	}
	_, err = s.devices.Update(ctx, userID, remember)
	if errs.Is(err, errs.NotFound) {
		isNew = false
		_, err = s.devices.Insert(ctx, devices{UserID: userID, Digests: []string{device}})
		if errs.Is(err, errs.AlreadyExists) { // by a concurrent sign-in
			_, err = s.devices.Update(ctx, userID, remember)
		}
	}
	if err == nil && isNew {
		s.wake()
	}
	return isNew, err
}

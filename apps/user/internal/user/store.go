package user

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/document"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/id"
	"souk/pkg/identity"
	"souk/pkg/page"
	"souk/pkg/personal"
)

const (
	subjectRegistered = "evt.user.registered"
	subjectUpdated    = "evt.user.updated"
	subjectNewDevice  = "evt.user.new_device"
	subjectNewEmail   = "evt.user.email_changed"
	subjectErased     = "evt.user.erased"
	subjectSuspended  = "evt.user.suspended"
	subjectReinstated = "evt.user.reinstated"

	byIdentity = "by_identity"
	byEmail    = "by_email_digest"
	byName     = "by_name_digest"

	// An index holds only documents that have its fields: these hold the users that are not encrypted yet.
	plainEmail = "by_email"
	plainName  = "by_name"
	plainPhone = "by_phone"
)

// Store stores users, with encrypted personal data.
type Store struct {
	users   *document.Collection[stored]
	devices *document.Collection[devices]
	erased  *document.Collection[erased]
	cipher  *personal.Cipher
	wake    func()
}

// NewStore opens the collection and creates it and its indexes if they are missing. wake is called after each
// write of events.
//
// Errors: those of document.Collection.Ensure.
func NewStore(
	ctx context.Context, documents *document.Store, cipher *personal.Cipher, wake func(),
) (*Store, error) {
	users, err := document.NewCollection(documents, document.Spec[stored]{
		Name: "users",
		ID:   func(v stored) string { return v.ID },
		Indexes: []document.Index{
			{Name: byIdentity, Fields: []string{"issuer", "subject"}, Unique: true},
			{Name: byEmail, Fields: []string{"emailDigest"}},
			{Name: byName, Fields: []string{"nameDigest"}},
			{Name: plainEmail, Fields: []string{"email"}, Fold: true},
			{Name: plainName, Fields: []string{"name"}, Fold: true},
			{Name: plainPhone, Fields: []string{"phone"}},
		},
	})
	if err != nil {
		return nil, err
	}
	if err := users.Ensure(ctx); err != nil {
		return nil, err
	}
	known, err := document.NewCollection(documents, document.Spec[devices]{
		Name: "devices",
		ID:   func(d devices) string { return d.UserID },
	})
	if err != nil {
		return nil, err
	}
	if err := known.Ensure(ctx); err != nil {
		return nil, err
	}
	gone, err := document.NewCollection(documents, document.Spec[erased]{
		Name: "erased",
		ID:   func(v erased) string { return v.UserID },
	})
	if err != nil {
		return nil, err
	}
	if err := gone.Ensure(ctx); err != nil {
		return nil, err
	}
	return &Store{users: users, devices: known, erased: gone, cipher: cipher, wake: wake}, nil
}

// Get returns a user.
//
// Errors: not_found, unavailable.
func (s *Store) Get(ctx context.Context, userID string) (User, error) {
	d, err := s.users.Get(ctx, userID)
	if err != nil {
		return User{}, noSuchUser(err)
	}
	return s.decrypt(ctx, d.Value)
}

// GetMany returns the users with these IDs, in the order of ids. Missing users are left out.
//
// Errors: unavailable.
func (s *Store) GetMany(ctx context.Context, ids []string) ([]User, error) {
	docs, err := s.users.GetMany(ctx, ids...)
	if err != nil {
		return nil, err
	}
	return s.decryptAll(ctx, docs)
}

// Ensure returns the user of an identity and updates it with what the provider says. It creates a missing user,
// and only one if several calls are concurrent.
//
// Errors: invalid_argument, conflict, unavailable.
func (s *Store) Ensure(ctx context.Context, i Identity, now time.Time) (u User, created bool, err error) {
	u, err = s.find(ctx, i)
	if errs.Is(err, errs.NotFound) {
		u, err = s.register(ctx, i, now)
		if err == nil {
			return u, true, nil
		}
		if !document.Violates(err, byIdentity) {
			return User{}, false, err
		}
		u, err = s.find(ctx, i) // a concurrent call has created it
	}
	if err != nil {
		return User{}, false, err
	}
	before := u
	u.applyIdentity(i, now)
	if u == before {
		return u, false, nil
	}
	u, err = s.update(ctx, u.ID, now, func(u *User) error {
		u.applyIdentity(i, now)
		return nil
	})
	return u, false, err
}

// Update changes a user.
//
// Errors: invalid_argument, not_found, conflict, unavailable.
func (s *Store) Update(ctx context.Context, userID string, c Change, now time.Time) (User, error) {
	return s.update(ctx, userID, now, func(u *User) error { return u.apply(c) })
}

func (s *Store) find(ctx context.Context, i Identity) (User, error) {
	found, err := s.users.Find(ctx, document.Query{
		Index: byIdentity, Equal: map[string]string{"issuer": i.Issuer, "subject": i.Subject}, Limit: 1,
	})
	if err != nil {
		return User{}, err
	}
	if len(found.Docs) == 0 {
		return User{}, noSuchUser(errs.New(errs.NotFound, ""))
	}
	return s.decrypt(ctx, found.Docs[0].Value)
}

func (s *Store) register(ctx context.Context, i Identity, now time.Time) (User, error) {
	u := User{ID: id.New(id.User), Issuer: i.Issuer, Subject: i.Subject, CreatedAt: now, UpdatedAt: now}
	u.applyIdentity(i, now)
	e, err := event.New(ctx, subjectRegistered, u.ID, 1, now, &userv1.UserRegistered{UserId: u.ID})
	if err != nil {
		return User{}, err
	}
	v, err := s.encrypt(ctx, u)
	if err != nil {
		return User{}, err
	}
	if _, err := s.users.Insert(ctx, v, e); err != nil {
		return User{}, err
	}
	s.wake()
	return u, nil
}

// update lets f change the user and writes it back if anything has changed.
func (s *Store) update(ctx context.Context, userID string, now time.Time, f func(*User) error) (User, error) {
	changed := false
	var u User
	_, err := s.users.Update(ctx, userID, func(v *stored) ([]event.Event, error) {
		before, err := s.decrypt(ctx, *v)
		if err != nil {
			return nil, err
		}
		u = before
		err = f(&u)
		if changed = err == nil && u != before; !changed {
			return nil, err
		}
		u.UpdatedAt = now
		if *v, err = s.encrypt(ctx, u); err != nil {
			return nil, err
		}
		e, err := whatChanged(ctx, before, u, now)
		events := []event.Event{e}
		if err == nil && otherMailbox(before.Email, u.Email) {
			e, err = event.New(ctx, subjectNewEmail, u.ID, 0, now, &userv1.EmailChanged{UserId: u.ID})
			events = append(events, e)
		}
		return events, err
	})
	if err == nil && changed {
		s.wake()
	}
	return u, noSuchUser(err)
}

// Erase deletes a user, the browsers with which the user has signed in, and publishes that the person's data was
// erased. keepOrders keeps what orders say about the person; a second call without it erases that, too.
//
// Errors: not_found, conflict, unavailable.
func (s *Store) Erase(ctx context.Context, userID string, keepOrders bool, now time.Time) error {
	defer s.wake()
	happened := func(keep bool) (event.Event, error) {
		return event.New(ctx, subjectErased, userID, 0, now,
			&userv1.UserErased{UserId: userID, KeepOrders: keep})
	}
	_, err := s.users.Get(ctx, userID)
	if errs.Is(err, errs.NotFound) {
		_, err := s.erased.Update(ctx, userID, func(v *erased) ([]event.Event, error) {
			if keepOrders {
				return nil, nil
			}
			v.KeepOrders = false
			e, err := happened(false) // also if it was said before: it may be repeated
			return []event.Event{e}, err
		})
		return noSuchUser(err)
	}
	if err != nil {
		return err
	}
	// If the process dies below, the call can be repeated as long as there is a user. What one call erases, no other keeps.
	mark := erased{UserID: userID, KeepOrders: keepOrders}
	_, err = s.erased.Insert(ctx, mark)
	if errs.Is(err, errs.AlreadyExists) {
		_, err = s.erased.Update(ctx, userID, func(v *erased) ([]event.Event, error) {
			v.KeepOrders = v.KeepOrders && keepOrders
			mark = *v
			return nil, nil
		})
	}
	if err != nil {
		return err
	}
	if err := s.devices.Delete(ctx, userID); err != nil && !errs.Is(err, errs.NotFound) {
		return err
	}
	e, err := happened(mark.KeepOrders)
	if err != nil {
		return err
	}
	return noSuchUser(s.users.Delete(ctx, userID, e))
}

// erased is somebody whose data was erased.
type erased struct {
	UserID string `json:"userId"`
	// KeepOrders: except in orders.
	KeepOrders bool `json:"keepOrders,omitempty"`
}

// whatChanged returns the event of a change.
func whatChanged(ctx context.Context, before, after User, now time.Time) (event.Event, error) {
	switch {
	case before.SuspendedAt.IsZero() && !after.SuspendedAt.IsZero():
		return event.New(ctx, subjectSuspended, after.ID, 0, now, &userv1.UserSuspended{UserId: after.ID})
	case !before.SuspendedAt.IsZero() && after.SuspendedAt.IsZero():
		return event.New(ctx, subjectReinstated, after.ID, 0, now, &userv1.UserReinstated{UserId: after.ID})
	}
	return event.New(ctx, subjectUpdated, after.ID, 0, now, &userv1.UserUpdated{UserId: after.ID})
}

// Suspend keeps a user out. by is the caller.
//
// Errors: forbidden, not_found, conflict, unavailable.
func (s *Store) Suspend(
	ctx context.Context, userID string, by identity.Actor, reason string, now time.Time,
) (User, error) {
	return s.update(ctx, userID, now, func(u *User) error { return u.suspend(by, reason, now) })
}

// Reinstate lets a suspended user in again.
//
// Errors: not_found, conflict, unavailable.
func (s *Store) Reinstate(ctx context.Context, userID string, now time.Time) (User, error) {
	return s.update(ctx, userID, now, func(u *User) error {
		u.SuspendedAt, u.SuspendedFor = time.Time{}, ""
		return nil
	})
}

// On handles an event of [SuspensionSubjects].
//
// Errors: those of AuthService.SetSuspension, unavailable.
func (s *Suspensions) On(ctx context.Context, _ pgx.Tx, e event.Event) error {
	return s.passOn(ctx, e.AggregateID)
}

// position is where a page of a search ended. Users found by e-mail address come before those found by name.
type position struct {
	Index string `json:"x"`
	Token string `json:"t"`
}

// Search returns a page of the users whose whole e-mail address or name is query, in any case, or of all users if query
// is empty, and the token of the next page. Users found by e-mail address come before those found by name.
//
// Errors: invalid_argument (a made-up token), unavailable.
func (s *Store) Search(ctx context.Context, query string, size int32, token string) ([]User, string, error) {
	query = strings.TrimSpace(query)
	at := position{Index: byEmail}
	if query == "" {
		at.Index = ""
	}
	first := at.Index
	if err := page.Decode(token, &at, "users", query); err != nil {
		return nil, "", err
	}
	if at.Index != first && at.Index != byName {
		return nil, "", page.Invalid()
	}
	limit := page.Size(size)
	var found []User
	for {
		q := document.Query{Index: at.Index, After: at.Token, Limit: int32(limit - len(found))} //nolint:gosec // small
		if field, ok := map[string]string{byEmail: "emailDigest", byName: "nameDigest"}[at.Index]; ok {
			digest, err := s.digest(ctx, at.Index, query)
			if err != nil {
				return nil, "", err
			}
			q.Equal = map[string]string{field: digest}
		}
		p, err := s.users.Find(ctx, q)
		if err != nil {
			return nil, "", err
		}
		users, err := s.decryptAll(ctx, p.Docs)
		if err != nil {
			return nil, "", err
		}
		found = append(found, users...)
		if at.Token = p.Next; at.Token == "" {
			if at.Index != byEmail {
				return found, "", nil
			}
			at.Index = byName
		}
		if len(found) == limit {
			return found, page.Encode(at, "users", query), nil
		}
	}
}

func noSuchUser(err error) error {
	if errs.Is(err, errs.NotFound) {
		return errs.New(errs.NotFound, "there is no such user")
	}
	return err
}

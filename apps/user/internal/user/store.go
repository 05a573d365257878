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
)

const (
	subjectRegistered = "evt.user.registered"
	subjectUpdated    = "evt.user.updated"
	subjectNewDevice  = "evt.user.new_device"
	subjectNewEmail   = "evt.user.email_changed"
	subjectSuspended  = "evt.user.suspended"
	subjectReinstated = "evt.user.reinstated"

	byIdentity = "by_identity"
	byEmail    = "by_email"
	byName     = "by_name"

	// searchReads is the most reads for one page of a search.
	searchReads = 10
)

// Store stores users.
type Store struct {
	users   *document.Collection[User]
	devices *document.Collection[devices]
	wake    func()
}

// NewStore opens the collection and creates it and its indexes if they are missing. wake is called after each
// write of events.
//
// Errors: those of document.Collection.Ensure.
func NewStore(ctx context.Context, documents *document.Store, wake func()) (*Store, error) {
	users, err := document.NewCollection(documents, document.Spec[User]{
		Name: "users",
		ID:   func(u User) string { return u.ID },
		Indexes: []document.Index{
			{Name: byIdentity, Fields: []string{"issuer", "subject"}, Unique: true},
			{Name: byEmail, Fields: []string{"email"}, Fold: true},
			{Name: byName, Fields: []string{"name"}, Fold: true},
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
	return &Store{users: users, devices: known, wake: wake}, nil
}

// Get returns a user.
//
// Errors: not_found, unavailable.
func (s *Store) Get(ctx context.Context, userID string) (User, error) {
	d, err := s.users.Get(ctx, userID)
	return d.Value, noSuchUser(err)
}

// GetMany returns the users with these IDs, in the order of ids. Missing users are left out.
//
// Errors: unavailable.
func (s *Store) GetMany(ctx context.Context, ids []string) ([]User, error) {
	docs, err := s.users.GetMany(ctx, ids...)
	return values(docs), err
}

// Ensure returns the user of an identity and updates it with what the provider says. It creates a missing user,
// and only one if several calls are concurrent.
//
// Errors: invalid_argument, conflict, unavailable.
func (s *Store) Ensure(ctx context.Context, i Identity, now time.Time) (u User, created bool, err error) {
	d, err := s.find(ctx, i)
	if errs.Is(err, errs.NotFound) {
		u, err = s.register(ctx, i, now)
		if err == nil {
			return u, true, nil
		}
		if !document.Violates(err, byIdentity) {
			return User{}, false, err
		}
		d, err = s.find(ctx, i) // a concurrent call has created it
	}
	if err != nil {
		return User{}, false, err
	}
	u = d.Value
	u.applyIdentity(i, now)
	if u == d.Value {
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

func (s *Store) find(ctx context.Context, i Identity) (document.Doc[User], error) {
	found, err := s.users.Find(ctx, document.Query{
		Index: byIdentity, Equal: map[string]string{"issuer": i.Issuer, "subject": i.Subject}, Limit: 1,
	})
	if err != nil {
		return document.Doc[User]{}, err
	}
	if len(found.Docs) == 0 {
		return document.Doc[User]{}, errs.New(errs.NotFound, "there is no such user")
	}
	return found.Docs[0], nil
}

func (s *Store) register(ctx context.Context, i Identity, now time.Time) (User, error) {
	u := User{ID: id.New(id.User), Issuer: i.Issuer, Subject: i.Subject, CreatedAt: now, UpdatedAt: now}
	u.applyIdentity(i, now)
	e, err := event.New(ctx, subjectRegistered, u.ID, 1, now, &userv1.UserRegistered{UserId: u.ID})
	if err != nil {
		return User{}, err
	}
	if _, err := s.users.Insert(ctx, u, e); err != nil {
		return User{}, err
	}
	s.wake()
	return u, nil
}

// update lets f change the user and writes it back if anything has changed.
func (s *Store) update(ctx context.Context, userID string, now time.Time, f func(*User) error) (User, error) {
	changed := false
	d, err := s.users.Update(ctx, userID, func(u *User) ([]event.Event, error) {
		before := *u
		err := f(u)
		if changed = err == nil && *u != before; !changed {
			return nil, err
		}
		u.UpdatedAt = now
		e, err := whatChanged(ctx, before, *u, now)
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
	return d.Value, noSuchUser(err)
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

// Search returns a page of the users whose e-mail address or name begins with query, or of all users if query
// is empty, and the token of the next page.
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
	for range searchReads {
		left := int32(limit - len(found)) //nolint:gosec // at most page.MaxSize
		p, err := s.users.Find(ctx, document.Query{Index: at.Index, Prefix: query, After: at.Token, Limit: left})
		if err != nil {
			return nil, "", err
		}
		for _, u := range values(p.Docs) {
			if at.Index == byName && foldedPrefix(u.Email, query) {
				continue // found by e-mail address already
			}
			found = append(found, u)
		}
		at.Token = p.Next
		if at.Token == "" {
			if at.Index != byEmail {
				return found, "", nil
			}
			at.Index = byName
		}
		if len(found) == limit {
			break
		}
	}
	return found, page.Encode(at, "users", query), nil
}

func foldedPrefix(s, prefix string) bool {
	return strings.HasPrefix(strings.ToLower(s), strings.ToLower(prefix))
}

func values(docs []document.Doc[User]) []User {
	out := make([]User, len(docs))
	for i, d := range docs {
		out[i] = d.Value
	}
	return out
}

func noSuchUser(err error) error {
	if errs.Is(err, errs.NotFound) {
		return errs.New(errs.NotFound, "there is no such user")
	}
	return err
}

package settings

import (
	"context"
	"maps"
	"reflect"

	settingsv1 "souk/gen/go/souk/settings/v1"
	"souk/pkg/document"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/flag"
)

const (
	subjectSettings = "evt.settings.changed"
	subjectFlag     = "evt.flag.changed"

	// attempts of a write whose document others write at the same time.
	attempts = 10
)

// Store stores settings and flags.
type Store struct {
	settings   *document.Collection[Setting]
	configured *document.Collection[Configured]
	flags      *document.Collection[Flag]
	users      *document.Collection[UserSettings]
	approvals  *document.Collection[Approval]
	wake       func()
}

// NewStore opens the collections and creates those that are missing. wake is called after each write of events.
//
// Errors: those of document.Collection.Ensure.
func NewStore(ctx context.Context, documents *document.Store, wake func()) (*Store, error) {
	s := &Store{wake: wake}
	var err error
	if s.settings, err = open(ctx, documents, "settings", func(v Setting) string { return v.Key }); err != nil {
		return nil, err
	}
	s.configured, err = open(ctx, documents, "configured", func(v Configured) string { return v.Service })
	if err != nil {
		return nil, err
	}
	if s.flags, err = open(ctx, documents, "flags", func(v Flag) string { return v.Key }); err != nil {
		return nil, err
	}
	if s.users, err = open(
		ctx,
		documents,
		"user_settings",
		func(v UserSettings) string { return v.UserID },
	); err != nil {
		return nil, err
	}
	s.approvals, err = open(ctx, documents, "approvals", func(v Approval) string { return v.ID },
		document.Index{Name: "by_caller", Fields: []string{"callerId", "status"}})
	return s, err
}

func open[T any](
	ctx context.Context, documents *document.Store, name string, id func(T) string, indexes ...document.Index,
) (*document.Collection[T], error) {
	c, err := document.NewCollection(documents, document.Spec[T]{Name: name, ID: id, Indexes: indexes})
	if err != nil {
		return nil, err
	}
	return c, c.Ensure(ctx)
}

// all returns every document of a collection, by identifier.
func all[T any](ctx context.Context, c *document.Collection[T]) ([]document.Doc[T], error) {
	var out []document.Doc[T]
	q := document.Query{Limit: 100}
	for {
		p, err := c.Find(ctx, q)
		if err != nil {
			return nil, err
		}
		out = append(out, p.Docs...)
		if q.After = p.Next; q.After == "" {
			return out, nil
		}
	}
}

// Settings returns the settings that were ever changed, by key.
//
// Errors: unavailable.
func (s *Store) Settings(ctx context.Context) (map[string]Setting, error) {
	docs, err := all(ctx, s.settings)
	out := make(map[string]Setting, len(docs))
	for _, d := range docs {
		out[d.Value.Key] = d.Value
	}
	return out, err
}

// Setting returns a setting. It has no versions if it was never changed.
//
// Errors: unavailable.
func (s *Store) Setting(ctx context.Context, key string) (Setting, error) {
	d, err := s.settings.Get(ctx, key)
	if errs.Is(err, errs.NotFound) {
		return Setting{Key: key}, nil
	}
	return d.Value, err
}

// Set makes v the next version of a setting, if expected is its version now. So a repetition is refused.
//
// Errors: conflict (the setting has another version), unavailable.
func (s *Store) Set(ctx context.Context, key string, v Value, expected int64, by Author) (Setting, error) {
	d, err := s.settings.Get(ctx, key)
	if errs.Is(err, errs.NotFound) {
		d.Value.Key = key
	} else if err != nil {
		return Setting{}, err
	}
	if d.Revision != expected {
		return Setting{}, conflict()
	}
	return s.put(ctx, d, v, by)
}

// Rollback makes the value of a kept version the next version. It changes nothing if the setting has that value. check
// may refuse the value.
//
// Errors: invalid_argument (the version is not kept), conflict, unavailable, and those of check.
func (s *Store) Rollback(
	ctx context.Context, key string, version int64, check func(Value) error, by Author,
) (Setting, error) {
	for attempt := 1; ; attempt++ {
		d, err := s.settings.Get(ctx, key)
		if errs.Is(err, errs.NotFound) {
			d.Value.Key = key
		} else if err != nil {
			return Setting{}, err
		}
		v, err := d.Value.valueOf(version)
		if err != nil {
			return Setting{}, err
		}
		if err := check(v); err != nil {
			return Setting{}, err
		}
		if now := d.Value.value(); now.Set == v.Set && reflect.DeepEqual(now.JSON, v.JSON) {
			return d.Value, nil
		}
		out, err := s.put(ctx, d, v, by)
		if !errs.Is(err, errs.Conflict) || attempt == attempts {
			return out, err
		}
	}
}

// put writes the next version of the setting that d was read as.
//
// Errors: conflict (it was changed since), unavailable.
func (s *Store) put(ctx context.Context, d document.Doc[Setting], v Value, by Author) (Setting, error) {
	d.Value.add(v, by)
	version := d.Value.current().Number
	e, err := event.New(ctx, subjectSettings, d.Value.Key, version, by.At,
		&settingsv1.SettingsChanged{Key: d.Value.Key, Version: int32(version)})
	if err != nil {
		return Setting{}, err
	}
	return d.Value, s.write(func() error { return save(ctx, s.settings, d, e) })
}

// save writes a document that was read before: it inserts it if d has no revision.
//
// Errors: conflict (another write came between), unavailable.
func save[T any](ctx context.Context, c *document.Collection[T], d document.Doc[T], events ...event.Event) error {
	var err error
	if d.Revision == 0 {
		_, err = c.Insert(ctx, d.Value, events...)
	} else {
		_, err = c.Replace(ctx, d, events...)
	}
	if errs.Is(err, errs.AlreadyExists) || errs.Is(err, errs.NotFound) {
		return conflict()
	}
	return err
}

// write calls f and wakes the relay after a success.
func (s *Store) write(f func() error) error {
	err := f()
	if err == nil {
		s.wake()
	}
	return err
}

// Configured returns the values of all services' configurations, by key.
//
// Errors: unavailable.
func (s *Store) Configured(ctx context.Context) (map[string]any, error) {
	docs, err := all(ctx, s.configured)
	out := map[string]any{}
	for _, d := range docs {
		maps.Copy(out, d.Value.Values)
	}
	return out, err
}

// Configure stores the values of a service's configuration. The last process to start wins.
//
// Errors: conflict, unavailable.
func (s *Store) Configure(ctx context.Context, service string, values map[string]any) error {
	for attempt := 1; ; attempt++ {
		d, err := s.configured.Get(ctx, service)
		if err != nil && !errs.Is(err, errs.NotFound) {
			return err
		}
		if err == nil && reflect.DeepEqual(d.Value.Values, values) {
			return nil
		}
		d.Value = Configured{Service: service, Values: values}
		err = save(ctx, s.configured, d)
		if !errs.Is(err, errs.Conflict) || attempt == attempts {
			return err
		}
	}
}

// Flags returns all flags, sorted by key.
//
// Errors: unavailable.
func (s *Store) Flags(ctx context.Context) ([]document.Doc[Flag], error) { return all(ctx, s.flags) }

// PutFlag creates or replaces a flag, if expected is nil or its version now; 0 means that it is new. A repetition
// changes nothing.
//
// Errors: conflict (the flag has another version, or there are too many), unavailable.
func (s *Store) PutFlag(ctx context.Context, f Flag, expected *int32) (document.Doc[Flag], error) {
	for attempt := 1; ; attempt++ {
		d, err := s.flags.Get(ctx, f.Key)
		if err != nil && !errs.Is(err, errs.NotFound) {
			return d, err
		}
		same := err == nil && d.Value.UpdatedBy == f.UpdatedBy && reflect.DeepEqual(d.Value.Flag, f.Flag)
		if same && (expected == nil || d.Revision == int64(*expected)+1) {
			return d, nil
		}
		if expected != nil && d.Revision != int64(*expected) {
			return d, conflict()
		}
		if d.Revision == 0 {
			// Operators who create flags at the same moment may exceed the bound by their number.
			existing, err := s.Flags(ctx)
			if err != nil {
				return d, err
			}
			if len(existing) >= flag.MaxFlags {
				return d, errs.New(errs.Conflict, "there are %d flags already: delete one", flag.MaxFlags)
			}
		}
		d.Value = f
		e, err := event.New(ctx, subjectFlag, f.Key, d.Revision+1, f.UpdatedAt, &settingsv1.FlagChanged{Key: f.Key})
		if err != nil {
			return d, err
		}
		err = s.write(func() error { return save(ctx, s.flags, d, e) })
		if err == nil {
			d.Revision++
			return d, nil
		}
		if expected != nil || !errs.Is(err, errs.Conflict) || attempt == attempts {
			return d, err
		}
	}
}

// DeleteFlag deletes a flag.
//
// Errors: not_found, unavailable.
func (s *Store) DeleteFlag(ctx context.Context, key string, by Author) error {
	e, err := event.New(ctx, subjectFlag, key, 0, by.At, &settingsv1.FlagChanged{Key: key, Deleted: true})
	if err != nil {
		return err
	}
	err = s.write(func() error { return s.flags.Delete(ctx, key, e) })
	if errs.Is(err, errs.NotFound) {
		return errs.New(errs.NotFound, "there is no such flag")
	}
	return err
}

// User returns a user's settings.
//
// Errors: unavailable.
func (s *Store) User(ctx context.Context, userID string) (UserSettings, error) {
	d, err := s.users.Get(ctx, userID)
	if errs.Is(err, errs.NotFound) {
		return defaultUserSettings(userID), nil
	}
	return d.Value, err
}

// PutUser replaces a user's settings. The last of concurrent calls wins.
//
// Errors: conflict, unavailable.
func (s *Store) PutUser(ctx context.Context, u UserSettings) error {
	for attempt := 1; ; attempt++ {
		d, err := s.users.Get(ctx, u.UserID)
		if err != nil && !errs.Is(err, errs.NotFound) {
			return err
		}
		if err == nil && d.Value == u {
			return nil
		}
		d.Value = u
		err = save(ctx, s.users, d)
		if !errs.Is(err, errs.Conflict) || attempt == attempts {
			return err
		}
	}
}

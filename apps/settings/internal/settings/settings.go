// Package settings implements the settings service: versions of system settings, flags, the settings of users, their
// store, and the RPCs.
package settings

import (
	"fmt"
	"slices"
	"time"

	"souk/pkg/errs"
	"souk/pkg/flag"
)

// maxVersions is how many versions of a setting are kept, as long as their values take at most maxHistory bytes.
const (
	maxVersions = 100
	maxHistory  = 512 << 10
)

// Setting is the stored state of a system setting. Its version is its document's revision.
type Setting struct {
	Key string `json:"key"`
	// Versions are the last versions, the newest last. There is at least one.
	Versions []Version `json:"versions"`
}

// Version is a version of a setting.
type Version struct {
	Number int64 `json:"number"`
	// Set is false if the version took the setting back to its default.
	Set      bool      `json:"set"`
	Value    any       `json:"value,omitempty"`
	AuthorID string    `json:"authorId"`
	At       time.Time `json:"at"`
}

// Value is a value of a setting; Set is false for its default.
type Value struct {
	Set  bool
	JSON any // as encoding/json reads it
}

// Author is who makes a change, and when.
type Author struct {
	ID string
	At time.Time
}

func (s *Setting) current() Version { return s.Versions[len(s.Versions)-1] }

// add makes a value the next version.
func (s *Setting) add(v Value, by Author) {
	next := int64(1)
	if len(s.Versions) > 0 {
		next = s.current().Number + 1
	}
	s.Versions = append(s.Versions, Version{Number: next, Set: v.Set, Value: v.JSON, AuthorID: by.ID, At: by.At})
	s.Versions = s.Versions[max(0, len(s.Versions)-maxVersions):]
	size := 0
	for i, version := range slices.Backward(s.Versions) {
		if size += sizeOf(version.Value); size > maxHistory && i < len(s.Versions)-1 {
			s.Versions = s.Versions[i+1:]
			return
		}
	}
}

// sizeOf returns about the number of bytes that a value takes. Only texts may be large.
func sizeOf(value any) (size int) {
	texts, _ := value.([]any)
	for _, text := range texts {
		size += len(fmt.Sprint(text)) + 3
	}
	return size
}

// valueOf returns the value of a kept version; 0 is the default.
//
// Errors: invalid_argument (it is not kept).
func (s *Setting) valueOf(version int64) (Value, error) {
	if version == 0 {
		return Value{}, nil
	}
	i := slices.IndexFunc(s.Versions, func(v Version) bool { return v.Number == version })
	if i < 0 {
		return Value{}, errs.InvalidField("version", "must be a version of the history, or 0")
	}
	return Value{Set: s.Versions[i].Set, JSON: s.Versions[i].Value}, nil
}

// Configured are the values of a service's settings by its configuration.
type Configured struct {
	Service string         `json:"service"`
	Values  map[string]any `json:"values"`
}

// Flag is a stored flag. Its version is its document's revision.
type Flag struct {
	flag.Flag
	UpdatedBy string    `json:"updatedBy"`
	UpdatedAt time.Time `json:"updatedAt"`
}

// UserSettings are a user's own settings. The contract has their values.
type UserSettings struct {
	UserID      string `json:"userId"`
	Theme       string `json:"theme"`
	Density     string `json:"density"`
	ProductView string `json:"productView"`
	PageSize    int32  `json:"pageSize"`
}

// defaultUserSettings are the settings of a user who has not chosen any.
func defaultUserSettings(userID string) UserSettings {
	return UserSettings{UserID: userID, Theme: "system", Density: "comfortable", ProductView: "grid", PageSize: 20}
}

func conflict() error {
	return errs.New(errs.Conflict, "this has another version by now: read it and decide again")
}

// value returns the value that the setting has now.
func (s *Setting) value() Value {
	if len(s.Versions) == 0 {
		return Value{}
	}
	return Value{Set: s.current().Set, JSON: s.current().Value}
}

//go:build !none

package domain

import (
	"strings"
	"time"

	"souk/pkg/errs"
	"souk/pkg/id"
)

// gadgetPrefix begins the identifiers of gadgets.
const gadgetPrefix id.Prefix = "gadget"

// Gadget belongs to the user who created it.
type Gadget struct {
	ID          string
	OwnerID     string
	Name        string
	Description string
	Version     int64
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// GadgetChange is a change of a gadget. Nil leaves a field as it is.
type GadgetChange struct{ Name, Description *string }

// NewGadget returns a gadget that is not stored yet.
//
// Errors: invalid_argument.
func NewGadget(ownerID, name, description string, now time.Time) (Gadget, error) {
	v := Gadget{ID: id.New(gadgetPrefix), OwnerID: ownerID, CreatedAt: now}
	_, err := v.Apply(GadgetChange{Name: &name, Description: &description}, now)
	return v, err
}

// Apply makes a change and reports whether a field has a new value.
//
// Errors: invalid_argument.
func (v *Gadget) Apply(c GadgetChange, now time.Time) (changed bool, err error) {
	before := *v
	if c.Name != nil {
		v.Name = strings.TrimSpace(*c.Name)
	}
	if c.Description != nil {
		v.Description = *c.Description
	}
	if v.Name == "" {
		return false, errs.InvalidField("name", "must not be blank")
	}
	for field, text := range map[string]string{"name": v.Name, "description": v.Description} {
		if strings.ContainsRune(text, 0) { // PostgreSQL cannot store it
			return false, errs.InvalidField(field, "must not contain a NUL character")
		}
	}
	if *v == before {
		return false, nil
	}
	v.Version++
	v.UpdatedAt = now
	return true, nil
}

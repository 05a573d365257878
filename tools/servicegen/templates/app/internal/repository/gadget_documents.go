//go:build documents

package repository

import (
	"context"
	"time"

	"souk/pkg/document"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/tools/servicegen/templates/app/internal/domain"
)

// gadgetDocument is a gadget as it is stored.
type gadgetDocument struct {
	ID          string    `json:"id"`
	OwnerID     string    `json:"ownerId"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	Version     int64     `json:"version"`
	CreatedAt   time.Time `json:"createdAt"`
	UpdatedAt   time.Time `json:"updatedAt"`
}

// gadgetsOfOwner is the index of a user's gadgets, by ID.
const gadgetsOfOwner = "of_owner"

func openGadgets(
	ctx context.Context, documents *document.Store,
) (*document.Collection[gadgetDocument], error) {
	c, err := document.NewCollection(documents, document.Spec[gadgetDocument]{
		Name:    "gadgets",
		ID:      func(d gadgetDocument) string { return d.ID },
		Indexes: []document.Index{{Name: gadgetsOfOwner, Fields: []string{"ownerId", "id"}}},
	})
	if err != nil {
		return nil, err
	}
	return c, c.Ensure(ctx)
}

// CreateGadget stores a new gadget and appends the event.
func (s *Store) CreateGadget(
	ctx context.Context, v domain.Gadget, e event.Event,
) error {
	_, err := s.gadgets.Insert(ctx, gadgetDocument(v), e)
	return s.written(err)
}

// GetGadget returns a gadget of the owner.
//
// Errors: not_found.
func (s *Store) GetGadget(
	ctx context.Context, ownerID, gadgetID string,
) (domain.Gadget, error) {
	found, err := s.gadgets.Find(ctx, document.Query{
		Index: gadgetsOfOwner,
		Equal: map[string]string{"ownerId": ownerID, "id": gadgetID},
		Limit: 1,
	})
	if err != nil {
		return domain.Gadget{}, err
	}
	if len(found.Docs) == 0 {
		return domain.Gadget{}, noSuchGadget()
	}
	return domain.Gadget(found.Docs[0].Value), nil
}

// ListGadgets returns a page of the owner's gadgets, oldest first, and the token of the next page.
//
// Errors: invalid_argument (a made-up token).
func (s *Store) ListGadgets(
	ctx context.Context, ownerID string, size int32, token string,
) (gadgets []domain.Gadget, next string, err error) {
	found, err := s.gadgets.Find(ctx, document.Query{
		Index: gadgetsOfOwner, Equal: map[string]string{"ownerId": ownerID}, After: token, Limit: size,
	})
	for _, d := range found.Docs {
		gadgets = append(gadgets, domain.Gadget(d.Value))
	}
	return gadgets, found.Next, err
}

// UpdateGadget lets f change a gadget of the owner, stores it, and appends the events that f returns. If another write
// came between, it starts again from that, so f may be called several times.
//
// Errors: f's, not_found, conflict.
func (s *Store) UpdateGadget(
	ctx context.Context, ownerID, gadgetID string, f func(*domain.Gadget) ([]event.Event, error),
) (domain.Gadget, error) {
	d, err := s.gadgets.Update(ctx, gadgetID, func(d *gadgetDocument) ([]event.Event, error) {
		if d.OwnerID != ownerID {
			return nil, noSuchGadget()
		}
		return f((*domain.Gadget)(d))
	})
	if errs.Is(err, errs.NotFound) {
		err = noSuchGadget()
	}
	return domain.Gadget(d.Value), s.written(err)
}

// DeleteGadget deletes a gadget of the owner and appends the events that f returns for it.
//
// Errors: f's, not_found.
func (s *Store) DeleteGadget(
	ctx context.Context, ownerID, gadgetID string, f func(domain.Gadget) ([]event.Event, error),
) error {
	v, err := s.GetGadget(ctx, ownerID, gadgetID)
	if err != nil {
		return err
	}
	events, err := f(v)
	if err != nil {
		return err
	}
	return s.written(s.gadgets.Delete(ctx, gadgetID, events...))
}

func noSuchGadget() error { return errs.New(errs.NotFound, "there is no such gadget") }

package shop

import (
	"context"

	shopv1 "souk/gen/go/souk/shop/v1"
	"souk/pkg/cqrs"
	"souk/pkg/event"
	"souk/pkg/page"
)

// States returns what each shop in a database is now, as evt.shop.updated would say it.
func States(db cqrs.DB) cqrs.States {
	return func(ctx context.Context, _ []string, f func(event.Event) error) (n int, err error) {
		store := &Store{pool: db.Pool}
		for before := newest(); ; {
			shops, err := store.ListByStatus(ctx, "", before, page.MaxSize)
			if err != nil || len(shops) == 0 {
				return n, err
			}
			for _, sh := range shops {
				e, err := event.New(ctx, "evt.shop.updated", sh.ID, sh.Version, sh.UpdatedAt, &shopv1.ShopUpdated{
					ShopId: sh.ID, Handle: sh.Handle, Name: sh.Name, Status: string(sh.Status),
				})
				if err != nil {
					return n, err
				}
				if err := f(e); err != nil {
					return n, err
				}
				n++
			}
			last := shops[len(shops)-1]
			before = moment{Time: last.CreatedAt, ID: last.ID}
		}
	}
}

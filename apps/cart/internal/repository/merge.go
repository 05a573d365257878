package repository

import (
	"context"
	"strconv"

	"souk/apps/cart/internal/domain"
	"souk/pkg/redisx"
)

// statusMoving is the status of a script that found lines moving that another call took.
const statusMoving = "moving"

// taken are the lines that were taken out of a guest's cart and are moving into a user's.
type taken struct {
	// guest is the guest's cart afterwards.
	guest domain.Cart
	// cart is the guest's cart as it was, with its lines. Its Into says where they go and the version of the guest's
	// cart afterwards. It is empty if none are moving.
	cart domain.Cart
	// orders are the orders that have left the guest's cart, each followed by its score.
	orders []string
	// before reports whether an earlier call took them.
	before bool
}

// Merge adds a guest's cart to a user's and empties the guest's. Pieces and lines beyond the limits are dropped.
//
// The carts may be on different nodes of a cluster, so it has three steps: the lines are taken out of the guest's cart
// and kept beside it, added to the user's cart, and forgotten. The user's cart remembers the merge, so a repeated step
// has no effect. If the process dies in between, the next merge of the guest, the removal of an order's items or the
// write-back of the guest's cart, which is dirty, takes the remaining steps.
func (s *Store) Merge(ctx context.Context, guest, user string) (ofUser, ofGuest domain.Cart, err error) {
	for {
		var t taken
		if t, ofUser, err = s.move(ctx, guest, user); err != nil {
			return domain.Cart{}, domain.Cart{}, err
		}
		if t.before { // the merge of an earlier call has ended; now this one
			continue
		}
		if t.cart.OwnerID == "" {
			ofUser, err = s.Get(ctx, user)
		}
		return ofUser, t.guest, err
	}
}

// move moves the lines of a guest's cart into the user's, or those that are moving already. With an empty user it only
// moves those.
func (s *Store) move(ctx context.Context, guest, user string) (t taken, ofUser domain.Cart, err error) {
	if t, err = s.takeLines(ctx, guest, user); err != nil || t.cart.OwnerID == "" {
		return t, domain.Cart{}, err
	}
	if ofUser, err = s.giveLines(ctx, t); err != nil {
		return t, ofUser, err
	}
	return t, ofUser, redisx.Err(
		s.given.Exec(ctx, s.redis, []string{s.keys.moving(guest)}, []string{merges(t.cart.Into)}).Error(),
	)
}

func (s *Store) takeLines(ctx context.Context, guest, user string) (t taken, err error) {
	answer, err := s.run(ctx, s.take, guest,
		[]string{s.keys.cart(guest), s.keys.dirty(guest), s.keys.moving(guest), s.keys.orders(guest)},
		s.scriptArgs(guest, user))
	if err != nil {
		return t, err
	}
	if len(answer) < 4 {
		return t, errAnswer
	}
	status, err := answer[0].ToString()
	if err != nil {
		return t, redisx.Err(err)
	}
	t.before = status == statusMoving
	if t.guest, err = cartOfMessage(guest, answer[1]); err != nil {
		return t, err
	}
	if lines, err := answer[2].ToArray(); err != nil || len(lines) == 0 {
		return t, redisx.Err(err)
	}
	if t.cart, err = cartOfMessage(guest, answer[2]); err != nil {
		return t, err
	}
	t.orders, err = answer[3].AsStrSlice()
	return t, redisx.Err(err)
}

func (s *Store) giveLines(ctx context.Context, t taken) (domain.Cart, error) {
	user := t.cart.Into.OwnerID
	args := s.scriptArgs(
		user,
		t.cart.OwnerID,
		strconv.FormatInt(t.cart.Version, 10),
		strconv.FormatInt(t.cart.Into.Version, 10),
		string(t.cart.Currency),
		strconv.Itoa(
			domain.MaxLines,
		),
		strconv.Itoa(domain.MaxQuantity),
		strconv.Itoa(maxMerges),
		strconv.Itoa(maxOrders),
		strconv.Itoa(len(t.orders)/2),
	)
	args = append(args, t.orders...)
	for _, l := range t.cart.Lines {
		args = append(args, l.VariantID, strconv.FormatInt(l.Quantity, 10))
	}
	return s.change(ctx, s.give, user, args, s.keys.orders(user))
}

package verify_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"souk/apps/order"
	"souk/apps/payment"
	"souk/apps/product"
	"souk/apps/voucher"
	"souk/cmd/souk/internal/verify"
	"souk/pkg/migration"
	"souk/pkg/module"
	"souk/pkg/natstest"
	"souk/pkg/outbox"
	"souk/pkg/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness is a small marketplace whose databases agree.
type harness struct {
	order, payment, product, voucher *pgxpool.Pool
	sources                          verify.Sources
}

// paymentSets returns the migrations of payment and its sandbox.
func paymentSets() []migration.Set {
	files := os.DirFS("../../../../apps/payment/internal/sandbox/migrations")
	return append(payment.Module.Sets(), migration.Set{Name: "payment_sandbox", FS: files})
}

// setup puts all services' tables into one database. That is faster to create than a database for each.
func setup(t *testing.T) *harness {
	t.Helper()
	pool := pgtest.New(t,
		slices.Concat(order.Module.Sets(), paymentSets(), product.Module.Sets(), voucher.Module.Sets())...)
	return fill(t, &harness{order: pool, payment: pool, product: pool, voucher: pool})
}

func fill(t *testing.T, h *harness) *harness {
	t.Helper()
	all := map[string]*pgxpool.Pool{"order": h.order, "payment": h.payment, "product": h.product}
	h.sources = verify.Sources{
		Order: h.order, Payment: h.payment, Product: h.product, Voucher: h.voucher,
		Sagas: map[string]*pgxpool.Pool{"order": h.order}, Outboxes: all, Pools: all,
		Own:          []module.Module{order.Module, payment.Module},
		RecheckDelay: 10 * time.Millisecond,
	}
	h.exec(t, h.product, `
		insert into shop_ref (shop_id, handle, name, status, updated_at) values ('shp_a', 'a', 'A', 'active', now());
		insert into product (id, shop_id, handle, title, description, images, tags, status, version, created_at, updated_at)
		values ('prd_a', 'shp_a', 'a', 'A', '', '[]', '{}', 'active', 1, now(), now());
		insert into variant (id, product_id, shop_id, sku, options, price_minor, currency, position)
		values ('var_a', 'prd_a', 'shp_a', 'A', '{}', 100, 'BRL', 0), ('var_b', 'prd_a', 'shp_a', 'B', '{}', 250, 'BRL', 1);
		insert into stock (variant_id, on_hand, reserved) values ('var_a', 10, 0), ('var_b', 10, 0);`)
	h.place(t, "ord_card", "confirmed", "card", "committed", "captured")
	h.place(t, "ord_sent", "shipped", "wallet", "committed", "partially_refunded")
	h.place(t, "ord_cash", "confirmed", "cod", "committed", "authorized")
	h.place(t, "ord_paid", "delivered", "cod", "committed", "captured")
	h.place(t, "ord_back", "cancelled", "card", "restocked", "refunded")
	h.place(t, "ord_none", "cancelled", "card", "released", "voided")
	h.place(t, "ord_live", "pending", "card", "held", "authorized")
	h.saga(t, "ord_live", "running")
	h.place(t, "ord_soon", "confirmed", "card", "held", "authorized") // past its pivot
	h.saga(t, "ord_soon", "running")
	h.place(t, "ord_part", "confirmed", "card", "committed", "partially_refunded")
	h.exec(t, h.payment, `update payment set refunded = 350, refund_claimed = 350 where order_id = 'ord_part';
		update refund set amount = 350 where payment_id = 'pay_ord_part';
		update sandbox.charge set refunded = 350 where key = 'pay_ord_part';
		update sandbox.refund set amount = 350 where charge_key = 'pay_ord_part';
		update sandbox.ledger_entry set amount = sign(amount) * 350 where key = 'ref_pay_ord_part'`)
	h.useVoucher(t, "ord_sent", "ord_back", "ord_live")
	h.placeFree(t, "ord_free")
	h.place(t, "ord_coin", "shipped", "cod", "committed", "authorized")
	h.exec(t, h.payment, `update payment set waived = 350 where order_id = 'ord_coin';
		insert into refund (id, payment_id, idem_key, amount, state, created_at, updated_at)
		values ('ref_coin', 'pay_ord_coin', 'k', 350, 'waived', now(), now())`)
	for _, id := range []string{"ord_part", "ord_coin"} { // their second part was cancelled
		h.exec(t, h.order, `update shop_order set status = 'cancelled', cancel_id = 'can' where id = 'sho_`+id+`_b'`)
		h.exec(
			t,
			h.product,
			`update reservation_line set restocked = true where order_id = '`+id+`' and variant_id = 'var_b'`,
		)
	}
	return h
}

func (h *harness) exec(t *testing.T, pool *pgxpool.Pool, sql string) {
	t.Helper()
	for statement := range strings.SplitSeq(sql, ";") {
		if strings.TrimSpace(statement) != "" {
			_, err := pool.Exec(t.Context(), statement)
			require.NoError(t, err, statement)
		}
	}
}

func (h *harness) saga(t *testing.T, id, state string) {
	t.Helper()
	h.exec(t, h.order, fmt.Sprintf(`
		insert into saga (id, type, def_version, input, state, epoch, owner, lease_until, next_run_at, deadline)
		values ('%s', 'checkout', 1, '{}', '%s', 1, '', now() + interval '2 seconds', now(), now() + interval '1 minute')`,
		id, state))
}

// place inserts an order of two pieces of one variant and one piece of another, from two shops. The goods cost 450,
// the shipping 150.
func (h *harness) place(t *testing.T, id, status, method, stock, money string) {
	t.Helper()
	confirmed := "now()"
	if status == "pending" || id == "ord_none" {
		confirmed = "null"
	}
	payID, held := "pay_"+id, stock == "held"
	h.exec(t, h.order, fmt.Sprintf(`
		insert into orders (id, number, customer_id, idem_key, request_hash, status, currency, subtotal, discount, shipping, tax, total,
			payment_id, payment_status, payment_method, email, shipping_address, placed_at, confirmed_at, updated_at)
		values ('%[1]s', '%[1]s', 'usr_a', '%[1]s', '', '%[2]s', 'BRL', 450, 0, 150, 0, 600,
			'%[3]s', '%[4]s', '%[5]s', '', '{}', now() - interval '7 days', %[6]s, now());
		insert into shop_order (id, order_id, position, shop_id, shop_name, status, subtotal, discount, shipping, tax, total, placed_at)
		values ('sho_%[1]s_a', '%[1]s', 0, 'shp_a', 'A', '%[2]s', 200, 0, 50, 0, 250, now()),
		       ('sho_%[1]s_b', '%[1]s', 1, 'shp_b', 'B', '%[2]s', 250, 0, 100, 0, 350, now());
		insert into order_item (order_id, position, shop_order_id, variant_id, product_id, title, sku, options, quantity, unit_price, line_total)
		values ('%[1]s', 0, 'sho_%[1]s_a', 'var_a', 'prd_a', 'A', 'A', '{}', 2, 100, 200),
		       ('%[1]s', 1, 'sho_%[1]s_b', 'var_b', 'prd_a', 'B', 'B', '{}', 1, 250, 250)`,
		id, status, payID, money, method, confirmed))
	captured, refunded := 0, 0
	switch money {
	case "captured":
		captured = 600
	case "partially_refunded":
		captured, refunded = 600, 100
	case "refunded":
		captured, refunded = 600, 600
	}
	provider := "sandbox"
	if method == "cod" {
		provider = ""
	}
	h.exec(t, h.payment, fmt.Sprintf(`
		insert into payment (id, order_id, customer_id, status, method, currency, amount, captured, refunded,
			refund_claimed, provider, request_hash, created_at, updated_at)
		values ('%s', '%s', 'usr_a', '%s', '%s', 'BRL', 600, %d, %d, %[7]d, '%[8]s', '', now(), now())`,
		payID, id, money, method, captured, refunded, refunded, provider))
	if provider != "" {
		charge := map[string]string{"authorized": "authorized", "voided": "voided"}[money]
		if charge == "" {
			charge = "captured"
		}
		h.exec(t, h.payment, fmt.Sprintf(`
			insert into sandbox.charge (key, status, currency, amount, captured, refunded)
			values ('%s', '%s', 'BRL', 600, %d, %d)`, payID, charge, captured, refunded))
		h.book(t, "capture", payID, captured)
		if refunded > 0 {
			h.exec(t, h.payment, fmt.Sprintf(`
				insert into refund (id, payment_id, idem_key, amount, state, created_at, updated_at)
				values ('ref_%[1]s', '%[1]s', 'k', %[2]d, 'done', now(), now());
				insert into sandbox.refund (key, charge_key, amount) values ('ref_%[1]s', '%[1]s', %[2]d)`, payID, refunded))
			h.book(t, "refund", "ref_"+payID, -refunded)
		}
	}
	h.exec(t, h.product, fmt.Sprintf(`
		insert into reservation (order_id, state, request_hash, expires_at, created_at, updated_at)
		values ('%[1]s', '%[2]s', '', now() + interval '5 minutes', now(), now());
		insert into reservation_line (order_id, variant_id, quantity)
		values ('%[1]s', 'var_a', 2), ('%[1]s', 'var_b', 1)`, id, stock))
	if held {
		h.exec(t, h.product, `update stock set reserved = reserved + 2 where variant_id = 'var_a';
			update stock set reserved = reserved + 1 where variant_id = 'var_b'`)
	}
}

func (h *harness) book(t *testing.T, kind, key string, amount int) {
	t.Helper()
	if amount != 0 {
		h.exec(t, h.payment, fmt.Sprintf(`
			insert into sandbox.ledger_entry (kind, key, account, currency, amount)
			values ('%[1]s', '%[2]s', 'merchant', 'BRL', %[3]d), ('%[1]s', '%[2]s', 'customer', 'BRL', -(%[3]d))`,
			kind, key, amount))
	}
}

// failing runs all checks and returns those that found something wrong, by name and by rule.
func failing(t *testing.T, s verify.Sources) map[string]verify.Check {
	t.Helper()
	report, err := verify.Run(t.Context(), s)
	require.NoError(t, err)
	out := map[string]verify.Check{}
	for _, c := range report.Checks {
		require.NotEmpty(t, c.Rule)
		if c.Wrong > 0 {
			out[c.Name] = c
			out[c.Rule] = c
		}
	}
	return out
}

func TestConsistentMarketplacePasses(t *testing.T) {
	t.Parallel()
	h := fill(t, &harness{
		order:   pgtest.New(t, order.Module.Sets()...),
		payment: pgtest.New(t, paymentSets()...),
		product: pgtest.New(t, product.Module.Sets()...),
		voucher: pgtest.New(t, voucher.Module.Sets()...),
	})
	h.sources.JetStream = newJetStream(t)
	report, err := verify.Run(t.Context(), h.sources)
	require.NoError(t, err)
	checked := map[string]int64{}
	for _, c := range report.Checks {
		require.Zero(t, c.Wrong, "%s: %v", c.Rule, c.Examples)
		require.Empty(t, c.Examples)
		require.Empty(t, c.Note)
		checked[c.Name] = c.Checked
	}
	for name, want := range map[string]int64{
		"stock_not_oversold": 2, "stock_reserved": 2, "order_totals": 11, "sagas_order": 2, "orders_paid": 8, "captures": 10,
		"orders_cancelled": 2, "stock_sold": 11, "orders_show_payment": 8, "vouchers_redeemed": 3, "dead_letters": 0, "outbox_order": 0,
	} {
		require.Equal(t, want, checked[name], name)
	}
}

func TestEmptyMarketplacePasses(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.exec(t, h.order, `truncate orders, shop_order, order_item, saga`)
	h.exec(t, h.payment, `truncate payment, refund, sandbox.charge, sandbox.refund, sandbox.ledger_entry`)
	h.exec(t, h.product, `truncate stock, reservation_line, reservation`)
	h.exec(t, h.voucher, `truncate redemption, redemption_voucher`)
	require.Empty(t, failing(t, h.sources))
}

func TestEachViolationIsFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		order, payment, product, voucher string
		check                            string // name or rule of the check that must fail
		id                               string // the example that the check must name
		warning                          bool
	}{
		"more reserved than there is": {
			product: `alter table stock drop constraint stock_never_oversold; update stock set reserved = 11 where variant_id = 'var_a'`,
			check:   "stock_not_oversold", id: "var_a",
		},
		"less than nothing reserved": {
			product: `alter table stock drop constraint stock_never_oversold; update stock set reserved = -1 where variant_id = 'var_a'`,
			check:   "stock_not_oversold", id: "var_a",
		},
		"reserved without a reservation": {
			product: `update stock set reserved = reserved + 1 where variant_id = 'var_b'`, check: "stock_reserved", id: "var_b",
		},
		"a held line without stock": {
			product: `insert into reservation_line (order_id, variant_id, quantity) values ('ord_live', 'var_gone', 1)`, check: "stock_reserved", id: "var_gone",
		},
		"a confirmed order without a reservation": {
			product: `delete from reservation_line where order_id = 'ord_card'; delete from reservation where order_id = 'ord_card'`, check: "stock_sold", id: "ord_card",
		},
		"a confirmed order whose stock was given back": {
			product: `update reservation set state = 'expired' where order_id = 'ord_card'`, check: "stock_sold", id: "ord_card",
		},
		"other pieces sold than ordered": {
			product: `update reservation_line set quantity = 3 where order_id = 'ord_card' and variant_id = 'var_a'`, check: "stock_sold", id: "ord_card",
		},
		"stock sold for a missing order": {
			product: `insert into reservation (order_id, state, request_hash, expires_at, created_at, updated_at) values ('ord_zzz', 'committed', '', now(), now(), now())`,
			check:   "stock_sold", id: "ord_zzz",
		},
		"stock held by a checkout that has ended": {
			order: `update saga set state = 'done', ended_at = now() where id = 'ord_live'`, check: "stock_sold", id: "ord_live",
		},
		"a confirmed order without a payment": {
			payment: `delete from payment where order_id = 'ord_cash'`, check: "orders_paid", id: "ord_cash",
		},
		"captured too little": {
			payment: `update payment set captured = 599 where order_id = 'ord_card'`, check: "orders_paid", id: "ord_card",
		},
		"a payment of another amount": {
			payment: `update payment set amount = 700 where order_id = 'ord_card'`, check: "orders_paid", id: "ord_card",
		},
		"a payment in another currency": {
			payment: `update payment set currency = 'EUR' where order_id = 'ord_card'`, check: "orders_paid", id: "ord_card",
		},
		"never captured, and the saga has ended": {
			order: `update saga set state = 'done', ended_at = now() where id = 'ord_soon'`, check: "orders_paid", id: "ord_soon",
		},
		"two payments of one order": {
			payment: `alter table payment drop constraint payment_order; insert into payment (id, order_id, customer_id, status, method, currency, amount, captured, provider, request_hash, created_at, updated_at)
				values ('pay_two', 'ord_card', 'usr_a', 'captured', 'card', 'BRL', 600, 600, '', '', now(), now())`,
			check: "orders_paid", id: "ord_card",
		},
		"cash of a delivered order was not collected": {
			payment: `update payment set captured = 0, status = 'authorized' where order_id = 'ord_paid'`, check: "orders_paid", id: "ord_paid",
		},
		"cash collected before the delivery": {
			payment: `update payment set captured = 600, status = 'captured' where order_id = 'ord_cash'`, check: "orders_paid", id: "ord_cash",
		},
		"a cancelled part keeps its money": {
			payment: `update payment set refunded = 349 where order_id = 'ord_part'`, check: "orders_paid", id: "ord_part",
		},
		"cash of a cancelled part is still to be collected": {
			payment: `update payment set waived = 0 where order_id = 'ord_coin'`, check: "orders_paid", id: "ord_coin",
		},
		"cash waived for a part that was not cancelled": {
			payment: `update payment set waived = 250 where order_id = 'ord_cash'`, check: "orders_paid", id: "ord_cash",
		},
		"a cancelled part keeps its stock": {
			product: `update reservation_line set restocked = false where order_id = 'ord_part'`, check: "stock_sold", id: "ord_part",
		},
		"a part that was not cancelled lost its stock": {
			product: `update reservation_line set restocked = true where order_id = 'ord_card' and variant_id = 'var_a'`, check: "stock_sold", id: "ord_card",
		},
		"money captured for a missing order": {
			payment: `insert into payment (id, order_id, customer_id, status, method, currency, amount, captured, provider, request_hash, created_at, updated_at)
				values ('pay_x', 'ord_0', 'usr_a', 'captured', 'cod', 'BRL', 5, 5, '', '', now(), now())`,
			check: "captures", id: "ord_0",
		},
		"money captured for a refused checkout": {
			payment: `update payment set captured = 600, refunded = 600, refund_claimed = 600, status = 'refunded' where order_id = 'ord_none'`, check: "captures", id: "ord_none",
		},
		"a cancelled order keeps money": {
			payment: `update payment set refunded = 500 where order_id = 'ord_back'`, check: "orders_cancelled", id: "ord_back",
		},
		"a cancelled order keeps money on hold": {
			payment: `update payment set status = 'authorized' where order_id = 'ord_none'`, check: "orders_cancelled", id: "ord_none",
		},
		"a cancelled order keeps stock": {
			product: `update reservation set state = 'committed' where order_id = 'ord_back'`, check: "orders_cancelled", id: "ord_back",
		},
		"an order shows another status than its payment's": {
			order: `update orders set payment_status = 'authorized' where id = 'ord_card'`, check: "orders_show_payment", id: "ord_card", warning: true,
		},
		"a total that is not its parts'": {
			order: `update shop_order set shipping = 51, total = 251 where id = 'sho_ord_card_a'`, check: "order_totals", id: "ord_card",
		},
		"a total that is not its lines'": {
			order: `update order_item set quantity = 3, line_total = 300 where order_id = 'ord_card' and position = 0`, check: "order_totals", id: "ord_card",
		},
		"a total that is not its own sum": {
			order: `alter table orders drop constraint orders_total; update orders set total = 601 where id = 'ord_card'`, check: "order_totals", id: "ord_card",
		},
		"lines of no order": {
			order: `delete from orders where id = 'ord_card'`, check: "order_totals", id: "ord_card",
		},
		"a parked saga": {
			order: `update saga set state = 'parked', parked_from = 'running' where id = 'ord_live'`, check: "sagas_order", id: "ord_live",
		},
		"a saga that makes no progress": {
			order: `update saga set lease_until = now() - interval '31 seconds', next_run_at = now() - interval '31 seconds' where id = 'ord_live'`, check: "sagas_order", id: "ord_live",
		},
		"an event that is not published": {
			payment: `insert into outbox (id, subject, type, aggregate_id, occurred_at, payload, created_at) values ('evt_a', 'evt.x', 'x', 'a', now(), '', now() - interval '31 seconds')`,
			check:   "outbox_payment", id: "evt_a",
		},
		"a ledger that is not even": {
			payment: `update sandbox.ledger_entry set amount = amount + 1 where key = 'pay_ord_card' and account = 'merchant'`,
			check:   "the sandbox's ledger sums to zero in each currency", id: "BRL",
		},
		"captured twice at the provider": {
			payment: `update sandbox.charge set amount = 1200, captured = 1200 where key = 'pay_ord_card'`,
			check:   "every captured payment is captured at its provider, once and in full", id: "pay_ord_card",
		},
		"more given back than captured": {
			payment: `alter table payment drop constraint payment_amounts; update payment set refunded = 601, refund_claimed = 601 where order_id = 'ord_back'`,
			check:   "no payment gave back more than it captured, and its refunds add up", id: "pay_ord_back",
		},
		"a refund that the provider does not know": {
			payment: `delete from sandbox.refund where key = 'ref_pay_ord_back'`,
			check:   "refunds that are done were paid back by the provider, once", id: "ref_pay_ord_back",
		},
		"an order whose voucher was released": {
			voucher: `update redemption set state = 'released' where order_id = 'ord_sent'`, check: "vouchers_redeemed", id: "ord_sent",
		},
		"a voucher that was redeemed for another amount": {
			voucher: `update redemption_voucher set amount = 26 where order_id = 'ord_sent'`, check: "vouchers_redeemed", id: "ord_sent",
		},
		"a voucher that was redeemed for a refused checkout": {
			voucher: `update redemption set order_id = 'ord_none' where order_id = 'ord_back';
				update redemption_voucher set order_id = 'ord_none' where order_id = 'ord_back'`,
			check: "vouchers_redeemed", id: "ord_none",
		},
		"a payment of an order that costs nothing": {
			payment: `insert into payment (id, order_id, customer_id, status, method, currency, amount, captured, provider, request_hash, created_at, updated_at)
				values ('pay_free', 'ord_free', 'usr_a', 'captured', 'cod', 'BRL', 5, 5, '', '', now(), now())`,
			check: "orders_paid", id: "ord_free",
		},
		"a pending order without a running saga": {
			order: `update saga set state = 'done', ended_at = now() where id = 'ord_live'`,
			check: "no checkout is pending without a saga that runs", id: "ord_live",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			h.exec(t, h.order, c.order)
			h.exec(t, h.payment, c.payment)
			h.exec(t, h.product, c.product)
			h.exec(t, h.voucher, c.voucher)
			found, ok := failing(t, h.sources)[c.check]
			require.True(t, ok, "%s was not found", c.check)
			require.Equal(t, []string{c.id}, found.Examples)
			require.EqualValues(t, 1, found.Wrong)
			require.Equal(t, !c.warning, found.Violated())
		})
	}
}

// Databases that were read at different moments may differ. Suspects are checked again before they are reported.
func TestMarketplaceThatChangesDuringTheCheckPasses(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.exec(t, h.order, `update saga set state = 'done', ended_at = now() where id = 'ord_soon'`)
	require.Contains(t, failing(t, h.sources), "orders_paid")

	h.sources.RecheckDelay = time.Second
	captured := make(chan error, 1)
	time.AfterFunc(300*time.Millisecond, func() {
		_, err := h.payment.Exec(context.Background(), `
			with p as (update payment set status = 'captured', captured = amount where order_id = 'ord_soon'),
			c as (update sandbox.charge set status = 'captured', captured = amount where key = 'pay_ord_soon')
			insert into sandbox.ledger_entry (kind, key, account, currency, amount)
			values ('capture', 'pay_ord_soon', 'merchant', 'BRL', 600), ('capture', 'pay_ord_soon', 'customer', 'BRL', -600)`)
		if err == nil {
			_, err = h.order.Exec(context.Background(),
				`update orders set payment_status = 'captured', version = version + 1 where id = 'ord_soon'`)
		}
		if err == nil {
			_, err = h.product.Exec(context.Background(), `
				with r as (update reservation set state = 'committed' where order_id = 'ord_soon')
				update stock s set on_hand = s.on_hand - l.quantity, reserved = s.reserved - l.quantity
				from reservation_line l where l.order_id = 'ord_soon' and l.variant_id = s.variant_id`)
		}
		captured <- err
	})
	require.Empty(t, failing(t, h.sources))
	select {
	case err := <-captured:
		require.NoError(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("the payment was not captured in time")
	}
}

func TestTenExamplesAreNamedAndAllAreCounted(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for i := range 25 {
		h.place(t, fmt.Sprintf("ord_%02d", i), "confirmed", "card", "committed", "authorized")
	}
	found := failing(t, h.sources)["orders_paid"]
	require.EqualValues(t, 25, found.Wrong)
	require.Len(t, found.Examples, 10)
	require.True(t, slices.IsSorted(found.Examples))
	require.Equal(t, "ord_00", found.Examples[0])
}

func TestDeadLettersAreAWarning(t *testing.T) {
	t.Parallel()
	h := setup(t)
	js := newJetStream(t)
	h.sources.JetStream = js
	_, err := js.Publish(t.Context(), "dlq.notification-mails.evt.order.confirmed", []byte("x"))
	require.NoError(t, err)
	found, ok := failing(t, h.sources)["dead_letters"]
	require.True(t, ok)
	require.EqualValues(t, 1, found.Wrong)
	require.False(t, found.Violated())
}

func newJetStream(t *testing.T) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(natstest.Conn(t))
	require.NoError(t, err)
	require.NoError(t, outbox.EnsureStreams(t.Context(), js, outbox.Streams{}))
	return js
}

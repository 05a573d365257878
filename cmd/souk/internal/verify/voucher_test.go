package verify_test

import (
	"fmt"
	"testing"
)

// useVoucher makes orders use a voucher that took 20 off a line and 5 off a shipping.
func (h *harness) useVoucher(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		h.exec(t, h.order, fmt.Sprintf(`
			update order_item set discount = 20, discounts = '[{"voucher_id": "vch_a", "amount": 20}]' where order_id = '%[1]s' and position = 0;
			update shop_order set discount = 20, shipping_discounts = '[{"voucher_id": "vch_a", "amount": 5}]', shipping = shipping + 20
			where id = 'sho_%[1]s_a';
			update orders set discount = 20, shipping = shipping + 20 where id = '%[1]s'`, id))
		h.exec(t, h.voucher, fmt.Sprintf(`
			insert into redemption (order_id, customer_id, mailbox, state, updated_at) values ('%[1]s', 'usr_a', '', 'redeemed', now());
			insert into redemption_voucher (order_id, voucher_id, currency, amount, operator_amount) values ('%[1]s', 'vch_a', 'BRL', 25, 0)`,
			id))
	}
}

// placeFree inserts an order that costs nothing and has no payment.
func (h *harness) placeFree(t *testing.T, id string) {
	t.Helper()
	h.place(t, id, "confirmed", "card", "committed", "captured")
	h.exec(
		t,
		h.order,
		fmt.Sprintf(`update orders set subtotal = 0, shipping = 0, total = 0, payment_id = '' where id = '%[1]s';
		update shop_order set subtotal = 0, shipping = 0, total = 0 where order_id = '%[1]s';
		update order_item set unit_price = 0, line_total = 0 where order_id = '%[1]s'`, id),
	)
	h.exec(t, h.payment, fmt.Sprintf(`delete from payment where order_id = '%[1]s';
		delete from sandbox.charge where key = 'pay_%[1]s'; delete from sandbox.ledger_entry where key = 'pay_%[1]s'`, id))
}

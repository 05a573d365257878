select u.voucher_id, v.shop_id, u.currency, u.amount, u.operator_amount
from redemption_voucher u join voucher v on v.id = u.voucher_id
where u.order_id = $1 order by u.voucher_id

-- The shops whose vouchers for first orders a mailbox has used; '' for the marketplace.
select distinct v.shop_id
from redemption r join redemption_voucher u on u.order_id = r.order_id join voucher v on v.id = u.voucher_id
where r.mailbox = $1 and r.mailbox <> '' and r.state = 'redeemed' and v.first_order_only

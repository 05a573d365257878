-- How often a customer has used vouchers: of several counts (the guest's, the mailbox's) the highest.
select voucher_id, max(uses) from voucher_customer
where voucher_id = any ($1::text[]) and customer = any ($2::text[]) group by voucher_id

drop table redemption_voucher, redemption, voucher_customer, voucher;

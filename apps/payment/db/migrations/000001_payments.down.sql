drop table webhook_inbox;
drop table refund;
drop table payment;

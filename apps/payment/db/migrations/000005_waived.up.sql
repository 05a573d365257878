-- Cash that is not collected any more: a shop's part of the order was cancelled before it was delivered.
alter table payment add column waived bigint not null default 0;
alter table payment add constraint payment_waived check (waived >= 0 and captured + waived <= amount) not valid;
alter table payment validate constraint payment_waived;
-- waived: a refund of cash that was not collected; there was nothing to pay back.
alter table refund drop constraint refund_state;
alter table refund add constraint refund_state check (state in ('requested', 'done', 'refused', 'waived')) not valid;
alter table refund validate constraint refund_state;

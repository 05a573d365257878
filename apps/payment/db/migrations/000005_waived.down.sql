delete from refund where state = 'waived';
alter table refund drop constraint refund_state;
alter table refund add constraint refund_state check (state in ('requested', 'done', 'refused'));
alter table payment drop column waived;

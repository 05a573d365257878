drop table guest_cancel;

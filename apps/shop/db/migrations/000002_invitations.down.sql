drop index shop_status;
drop index shop_newest;
drop table invitation;

drop index cart_untouched;
alter table cart drop column abandoned;

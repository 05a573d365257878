drop table address;
drop table address_book;

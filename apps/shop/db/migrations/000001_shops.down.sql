drop table member;
drop table shop;

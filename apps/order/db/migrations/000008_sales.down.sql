drop table sales_day;
drop table sale_counted;
drop view sale;

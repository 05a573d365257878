drop table stock_adjustment;

drop table inbox_attempt;

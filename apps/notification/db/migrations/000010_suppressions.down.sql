drop table suppression;

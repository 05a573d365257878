drop table listing;

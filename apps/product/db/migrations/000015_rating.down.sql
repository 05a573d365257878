drop table rating;

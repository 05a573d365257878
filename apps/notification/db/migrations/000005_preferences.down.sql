drop table secret;
drop table preference;

drop function is_destroyed;
drop table merged;
drop table erased;
drop table data_key;

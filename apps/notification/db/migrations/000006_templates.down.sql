drop table template;

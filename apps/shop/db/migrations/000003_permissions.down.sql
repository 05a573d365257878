alter table invitation drop column permissions;
alter table member drop column permissions;

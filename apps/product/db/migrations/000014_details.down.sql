alter table variant drop column details;
alter table product drop column details;

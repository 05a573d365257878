alter table cart drop column merged_into;
alter table cart drop column merged;

alter table listing drop column highest;

alter table listing drop column variants;

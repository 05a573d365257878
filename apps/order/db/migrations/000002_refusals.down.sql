alter table orders drop column cancel_fields;

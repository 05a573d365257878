alter table reservation_line drop column restocked;

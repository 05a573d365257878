-- A shop's part of an order goes back on its own. A reservation is restocked once all of its lines are.
alter table reservation_line add column restocked boolean not null default false;

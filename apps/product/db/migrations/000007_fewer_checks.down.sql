-- In the order in which stock is written, or a process that works meanwhile and this wait for each other.
lock table reservation, reservation_line in access exclusive mode;
drop function all_written;
alter table reservation_line add constraint reservation_line_order_id_fkey foreign key (order_id) references reservation (order_id);

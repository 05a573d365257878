-- Locks in the order of stock writes, so that this does not deadlock with a running process.
lock table reservation, reservation_line in access exclusive mode;
drop function all_written;
alter table reservation_line add constraint reservation_line_order_id_fkey foreign key (order_id) references reservation (order_id);

drop function all_written;
alter table reservation_line add constraint reservation_line_order_id_fkey foreign key (order_id) references reservation (order_id);

-- Locks in the order of stock writes, so that this does not deadlock with a running process.
lock table reservation, reservation_line in access exclusive mode;
-- One batch writes a reservation with its lines and one statement deletes them. The check of a line cost more
-- than its row.
alter table reservation_line drop constraint reservation_line_order_id_fkey;

-- For statements that write rows which their transaction has locked: raises an error, which fails the
-- transaction, if some rows were not written.
create function all_written(written bigint, wanted bigint) returns boolean
language plpgsql as $$
begin
    if written = wanted then
        return true;
    end if;
    raise exception '% rows were written of % that were locked', written, wanted;
end
$$;

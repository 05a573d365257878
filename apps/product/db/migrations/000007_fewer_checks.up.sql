-- In the order in which stock is written, or a process that works meanwhile and this wait for each other.
lock table reservation, reservation_line in access exclusive mode;
-- Reservation and lines are written by one batch and deleted by one statement: checking each line cost more than its row.
alter table reservation_line drop constraint reservation_line_order_id_fkey;

-- For statements that write rows which their transaction has locked: refuses, and with it the transaction, when some
-- are missing.
create function all_written(written bigint, wanted bigint) returns boolean
language plpgsql as $$
begin
    if written = wanted then
        return true;
    end if;
    raise exception '% rows were written of % that were locked', written, wanted;
end
$$;

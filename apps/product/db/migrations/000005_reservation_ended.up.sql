-- reservations that a chore deletes, by the time at which they ended
create index reservation_ended on reservation (updated_at) where state in ('released', 'restocked', 'tombstone');

-- Plans are cached. A plan that was made while the statistics show a few rows scans the whole table, and goes
-- on doing so while the table grows by thousands of rows a second, until the next analyze. Without statistics
-- the plan uses the index.
alter table reservation set (autovacuum_analyze_threshold = 5000, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_insert_threshold = 5000);
alter table reservation_line set (autovacuum_analyze_threshold = 5000, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_insert_threshold = 5000);

-- what is deleted when it is old enough, by the time at which it ended
create index reservation_ended on reservation (updated_at) where state in ('released', 'restocked', 'tombstone');

-- Plans are kept. One that was made when statistics said that a table has a few rows reads all of it, and goes on
-- doing so while it grows by thousands a second until they are renewed. Without statistics the index is taken.
alter table reservation set (autovacuum_analyze_threshold = 5000, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_insert_threshold = 5000);
alter table reservation_line set (autovacuum_analyze_threshold = 5000, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_insert_threshold = 5000);

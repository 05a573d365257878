-- One transaction at a time finds security events. The number has no meaning.
select pg_advisory_xact_lock(7141509)

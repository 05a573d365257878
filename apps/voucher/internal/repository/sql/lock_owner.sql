select pg_advisory_xact_lock(hashtextextended('vouchers of ' || $1, 0))

#!/usr/bin/env bash
# Makes a service container's PostgreSQL fit for tests: connections for all packages at once, and no waiting for a disk
# whose data is thrown away. usage: postgres.sh CONTAINER
set -euo pipefail
container=$1
docker exec "$container" psql -U postgres -q -v ON_ERROR_STOP=1 \
  -c "alter system set max_connections = 500" -c "alter system set fsync = off" \
  -c "alter system set synchronous_commit = off" -c "alter system set full_page_writes = off"
docker restart "$container" >/dev/null
for _ in $(seq 60); do
  if docker exec "$container" pg_isready -q -U postgres -h 127.0.0.1; then
    exit 0
  fi
  sleep 0.5
done
echo "postgres.sh: PostgreSQL does not start" >&2
exit 1

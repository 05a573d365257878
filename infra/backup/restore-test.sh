#!/usr/bin/env bash
# Restores the newest backup into an empty folder, starts PostgreSQL on it, and reads all of it: pg_amcheck finds damaged
# pages, rows and indexes. Then it writes when that succeeded, for node_exporter's textfile collector. Run it as a user who
# may read the repository, better on another machine than the server's (see crontab):
#
#   restore-test.sh FOLDER
#
# RESTORE_TEST_DIR is where it restores (default /var/tmp): it needs the room of all databases. PGBACKREST_CONFIG is
# pgBackRest's configuration, if it is not at its usual place.
set -euo pipefail
folder=${1:?say the folder of the textfile collector}
bin=$(dirname "$(printf '%s\n' /usr/lib/postgresql/*/bin/pg_ctl | sort -V | tail -n 1)")
work=$(mktemp -d "${RESTORE_TEST_DIR:-/var/tmp}/souk-restore-test.XXXXXX")
data=$work/data
finish() {
  [ ! -f "$data/postmaster.pid" ] || "$bin/pg_ctl" -D "$data" -m immediate -w stop >/dev/null || true
  rm -rf "$work"
}
trap finish EXIT
mkdir -m 700 "$data"
pgbackrest --stanza=souk --pg1-path="$data" --archive-mode=off --type=immediate --target-action=promote restore

# Recovery refuses smaller settings than the server had. Nobody else gets to the socket: the folder is this user's.
echo 'local all all trust' >"$work/hba.conf"
settings=$("$bin/pg_controldata" "$data" | sed -nE 's/^(max_[a-z_]+) setting: +([0-9]+)$/-c \1=\2/p' |
  sed -e 's/_xacts=/_transactions=/' -e 's/_xact=/_transaction=/' | tr '\n' ' ')
"$bin/pg_ctl" -D "$data" -l "$work/log" -w -t 3600 \
  -o "$settings -c listen_addresses='' -c unix_socket_directories=$work -c port=5432 -c hba_file=$work/hba.conf -c ssl=off" \
  start >/dev/null || {
  tail -n 20 "$work/log" >&2
  exit 1
}
sql() { psql -X -h "$work" -p 5432 -U postgres -At "$@"; }
for _ in $(seq 600); do
  [ "$(sql -d postgres -c 'select pg_is_in_recovery()')" = f ] && break
  sleep 1
done
"$bin/pg_amcheck" -h "$work" -p 5432 -U postgres --all --install-missing --jobs=2
databases=$(sql -d postgres -c "select count(*) from pg_database where datallowconn and datname not in ('postgres', 'template1')")
[ "$databases" -gt 0 ] || {
  echo "restore-test.sh: the backup has no database" >&2
  exit 1
}
if [ "$(sql -d postgres -c "select count(*) from pg_database where datname = 'order'")" = 1 ]; then
  echo "restore test: $databases databases; $(sql -d order -c "select count(*) || ' orders, the newest of ' || coalesce(max(placed_at)::text, '-') from orders")"
else
  echo "restore test: $databases databases"
fi
new=$(mktemp "$folder/.restore.XXXXXX")
cat >"$new" <<EOF
backup_last_success_timestamp_seconds{what="restore-test"} $(date +%s)
backup_max_age_seconds{what="restore-test"} ${RESTORE_TEST_MAX_AGE_SECONDS:-777600}
EOF
chmod 644 "$new"
mv "$new" "$folder/backup-restore-test.prom"

#!/usr/bin/env bash
# Writes when the last backup succeeded, and how old it may get, for node_exporter's textfile collector. Run it after each
# backup, as PostgreSQL's user (see crontab):
#
#   report.sh FOLDER
#
# It needs jq. PGBACKREST_CONFIG is pgBackRest's configuration, if it is not at its usual place.
set -euo pipefail
folder=${1:?say the folder of the textfile collector}
# The newest backup without a damaged page.
stop=$(pgbackrest --stanza=souk --output=json info |
  jq '[.[].backup[] | select(.error != true) | .timestamp.stop] | max // empty')
[ -n "$stop" ] || {
  echo "report.sh: there is no backup that succeeded" >&2
  exit 1
}
new=$(mktemp "$folder/.backup.XXXXXX")
cat >"$new" <<EOF
backup_last_success_timestamp_seconds{what="postgres"} $stop
backup_max_age_seconds{what="postgres"} ${BACKUP_MAX_AGE_SECONDS:-7200}
EOF
chmod 644 "$new"
mv "$new" "$folder/backup-postgres.prom"

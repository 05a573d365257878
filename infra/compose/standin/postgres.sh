#!/bin/sh
# The entry point of the stand-in for the image of PostgreSQL. It does what compose.yaml needs of the official one:
# initialize an empty folder with POSTGRES_PASSWORD_FILE and POSTGRES_INITDB_ARGS, and let other hosts sign in by
# password.
set -eu
if [ "$1" != postgres ]; then
	exec "$@"
fi
data=/var/lib/postgresql/data
if ! [ -s "$data/PG_VERSION" ]; then
	# shellcheck disable=SC2086 # split into words on purpose, as the official image does
	initdb -D "$data" -U postgres --pwfile="$POSTGRES_PASSWORD_FILE" --auth-local=trust --auth-host=scram-sha-256 $POSTGRES_INITDB_ARGS
	echo "host all all all scram-sha-256" >>"$data/pg_hba.conf"
fi
shift
exec postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories=/run/postgresql "$@"

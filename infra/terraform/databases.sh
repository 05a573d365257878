#!/usr/bin/env bash
# Prints SQL that makes a role and a database for each service in one PostgreSQL instance, as docs/configuration.md says.
# It may run again: then it sets the passwords, and leaves databases alone. psql runs it as the master:
#
#   infra/terraform/databases.sh order cart … <passwords.json | psql --no-psqlrc -v ON_ERROR_STOP=1 "$url"
#
# passwords.json is an object of passwords by service. It comes from the standard input, so that no password is in a
# command line. Needs jq.
set -euo pipefail
[ $# -gt 0 ] || {
  echo "usage: databases.sh SERVICE... <passwords.json" >&2
  exit 2
}
passwords=$(cat)
for service in "$@"; do
  [[ $service =~ ^[a-z][a-z0-9]*$ ]] || {
    echo "databases.sh: $service is no service" >&2
    exit 1
  }
  password=$(jq -er --arg service "$service" '.[$service]' <<<"$passwords") || {
    echo "databases.sh: $service has no password" >&2
    exit 1
  }
  [[ $password =~ ^[A-Za-z0-9_-]{24,}$ ]] || {
    echo "databases.sh: the password of $service is shorter than 24 characters, or has others than A-Z, a-z, 0-9, _ and -" >&2
    exit 1
  }
  # RDS's master is no superuser: it makes a database for a role that it is a member of.
  cat <<END
select 'create role "$service" login' where not exists (select from pg_roles where rolname = '$service') \gexec
alter role "$service" login password '$password';
grant "$service" to current_user;
select 'create database "$service" owner "$service" encoding ''UTF8'' lc_collate ''C'' lc_ctype ''C.UTF-8'' template template0'
  where not exists (select from pg_database where datname = '$service') \gexec
revoke connect, temporary on database "$service" from public;
END
done

#!/usr/bin/env bash
# Runs databases.sh against a private PostgreSQL, twice, with a master that is no superuser, as on RDS. Called by drill.sh.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ -z "${SOUK_TEST_POSTGRES_URL:-}" ]; then
  exec go run ./tools/testenv -- "$0"
fi
url=$SOUK_TEST_POSTGRES_URL
host=${url#*@}
host=${host%%/*} # empty for a unix socket, which the query names
admin() { psql -X -q -At -v ON_ERROR_STOP=1 "$@"; }
# as ROLE DATABASE runs SQL from the standard input. PGPASSWORD is the role's.
as() { admin "postgres://$1@$host/$2?${url#*\?}"; }

master=$(openssl rand -hex 24)
admin "$url" <<<"create role souk_master login createdb createrole password '$master'"
for _ in 1 2; do
  order=$(openssl rand -hex 24)
  jq -n --arg order "$order" --arg cart "$(openssl rand -hex 24)" '{order: $order, cart: $cart}' |
    infra/terraform/databases.sh order cart | PGPASSWORD=$master as souk_master postgres >/dev/null 2>&1
done
got=$(admin "$url" <<'END'
select string_agg(d.datname || ' ' || r.rolname || ' ' || d.datcollate || ' ' || d.datctype, ', ' order by d.datname)
from pg_database d join pg_roles r on r.oid = d.datdba where d.datname in ('order', 'cart')
END
)
[ "$got" = "cart cart C C.UTF-8, order order C C.UTF-8" ] || {
  echo "databases_test.sh: the databases are: $got" >&2
  exit 1
}
[ "$(PGPASSWORD=$order as order order <<<"select current_user")" = order ]
if PGPASSWORD=$order as order cart <<<"select 1" >/dev/null 2>&1; then
  echo "databases_test.sh: order reaches cart's database" >&2
  exit 1
fi
if echo '{"order": "short"}' | infra/terraform/databases.sh order >/dev/null 2>&1; then
  echo "databases_test.sh: a short password is accepted" >&2
  exit 1
fi
echo "databases.sh: a role and a database for each service, twice; a service does not reach another's"

#!/usr/bin/env bash
# Creates what the marketplace of compose.yaml needs to keep secret: random keys and passwords, and the files that
# contain them, in infra/compose/secrets. Run it before the first start, and again after an upgrade: it keeps what
# exists, and adds what is missing. It needs openssl, and souk for NATS's configuration: the image that compose.yaml
# builds, or the program that SOUK names.
#
# A container reads its files with the mode that they have here, as a user that this machine does not know. So the files
# are readable, and the folder around them is closed (0700): no other user of this machine gets to them, and a
# container sees only those that compose.yaml mounts. The random values themselves are in secrets/raw (0600), which no
# container sees. No value is ever part of a command line.
#
# usage: init.sh
# environment: SOUK (a souk program), COMPOSE (default "docker compose"), SECRETS_DIR (another folder)
set -euo pipefail
cd "$(dirname "$0")"
secrets=${SECRETS_DIR:-$PWD/secrets}
umask 077

# The lists $services, $databases and $redis.
. ./services.sh

mkdir -p "$secrets/raw"
chmod 700 "$secrets" "$secrets/raw"

# put NAME replaces the file NAME with the standard input, in one step.
put() {
  cat >"$secrets/$1.new"
  chmod 444 "$secrets/$1.new"
  mv -f "$secrets/$1.new" "$secrets/$1"
}

# random NAME FORMAT creates 32 random bytes, unless they exist: as hex for passwords, as base64 for keys.
random() {
  [ -s "$secrets/raw/$1" ] && return 0
  openssl rand "-$2" 32 >"$secrets/raw/$1.new"
  mv "$secrets/raw/$1.new" "$secrets/raw/$1"
}
raw() { cat "$secrets/raw/$1"; }

# Every service has a key of its own, and so have the commands of operators. Everyone knows the public keys.
public=
for name in $services operator; do
  key=$secrets/raw/identity_$name.pem
  [ -s "$key" ] || {
    openssl genpkey -algorithm ed25519 -out "$key.new"
    mv "$key.new" "$key"
  }
  public+="    $name: \"$(openssl pkey -in "$key" -pubout -outform DER | tail -c 32 | base64)\""$'\n'
done
for name in $databases; do random "postgres_$name" hex; done
for name in postgres redis nats_cluster sandbox_webhook oidc grafana monitor zitadel zitadel_admin; do random "$name" hex; done
for name in auth keyring natsauth; do random "$name" base64; done

# identity NAME prints the section of a configuration file with the keys of NAME.
identity() {
  printf 'identity:\n  keys:\n    %s: "%s"\n  trusted:\n%s' "$1" \
    "$(openssl pkey -in "$secrets/raw/identity_$1.pem" -outform DER | tail -c 32 | base64)" "$public"
}
among() { case " $2 " in *" $1 "*) return 0 ;; esac; return 1; }

# A configuration file for each service, with its own secrets only. What is no secret is in compose.yaml.
for name in $services; do
  {
    echo "# Written by init.sh."
    identity "$name"
    if among "$name" "$databases"; then
      printf 'postgres:\n  passwords: {%s: "%s"}\n' "$name" "$(raw "postgres_$name")"
    fi
    if among "$name" "$redis"; then
      printf 'redis:\n  password: "%s"\n' "$(raw redis)"
    fi
    case $name in
    auth) printf 'auth:\n  key: "%s"\n' "$(raw auth)" ;;
    keyring) printf 'keyring:\n  key: "%s"\n' "$(raw keyring)" ;;
    natsauth) printf 'natsauth:\n  secret: "%s"\n' "$(raw natsauth)" ;;
    payment) printf 'payment:\n  sandbox:\n    webhook_secret: "%s"\n' "$(raw sandbox_webhook)" ;;
    esac
  } | put "$name.yaml"
done

# For commands of operators: every database, and the operator's key.
{
  echo "# Written by init.sh."
  identity operator
  printf 'postgres:\n  passwords:\n'
  for name in $databases; do printf '    %s: "%s"\n' "$name" "$(raw "postgres_$name")"; done
  printf 'redis:\n  password: "%s"\n' "$(raw redis)"
} | put operator.yaml

raw postgres | put postgres_password
raw oidc | put oidc_secret
raw grafana | put grafana_password
raw monitor | put monitor_password
printf '{"redis://redis:6379": "%s"}\n' "$(raw redis)" | put redis_exporter.json
printf 'requirepass %s\n' "$(raw redis)" | put redis_auth.conf
printf 'authorization { user: souk, password: "%s" }\n' "$(raw nats_cluster)" | put nats_cluster.conf

# For compose.zitadel.yaml. A masterkey has 32 characters.
[ -s "$secrets/raw/zitadel_masterkey" ] || openssl rand -hex 16 | tr -d '\n' >"$secrets/raw/zitadel_masterkey"
raw zitadel_masterkey | put zitadel_masterkey
put zitadel.yaml <<END
Database:
  postgres:
    Host: postgres
    Port: 5432
    Database: zitadel
    User: {Username: zitadel, Password: "$(raw zitadel)", SSL: {Mode: disable}}
    Admin: {Username: postgres, Password: "$(raw postgres)", SSL: {Mode: disable}}
FirstInstance:
  Org:
    Human: {UserName: zitadel-admin, Password: "Aa1!$(raw zitadel_admin)", PasswordChangeRequired: true}
END

# A role and a database for each service, as docs/configuration.md says. It may run again.
{
  echo "\\set ON_ERROR_STOP on"
  for name in $databases; do
    cat <<END
select 'create role "$name" login' where not exists (select from pg_roles where rolname = '$name') \\gexec
alter role "$name" login password '$(raw "postgres_$name")';
select 'create database "$name" owner "$name" encoding ''UTF8'' lc_collate ''C'' lc_ctype ''C.UTF-8'' template template0'
  where not exists (select from pg_database where datname = '$name') \\gexec
revoke connect, temporary on database "$name" from public;
END
  done
  cat <<END
select 'create role monitor login in role pg_monitor' where not exists (select from pg_roles where rolname = 'monitor') \\gexec
alter role monitor login password '$(raw monitor)';
END
} | put databases.sql

# What makes NATS ask natsauth about connections.
if [ -n "${SOUK:-}" ]; then
  "$SOUK" natsauth --config "$secrets/natsauth.yaml" >"$secrets/raw/nats_auth"
else
  read -ra compose <<<"${COMPOSE:-docker compose}"
  "${compose[@]}" run --rm --no-deps -T natsauth natsauth >"$secrets/raw/nats_auth"
fi
grep -q '^  auth_callout {' "$secrets/raw/nats_auth" || {
  echo "init.sh: souk natsauth did not print NATS's configuration" >&2
  exit 1
}
put nats_auth.conf <"$secrets/raw/nats_auth"
echo "init.sh: the secrets are in $secrets"

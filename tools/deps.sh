#!/bin/sh
# Installs souk's system dependencies, PostgreSQL 15+ and Redis 7+, unless they are installed. With the argument npm it
# installs Node.js and npm instead, which `make api`, `make client` and `make client-test` need; with the argument test
# also PgBouncer, which tests need, and with drill pgBackRest, and with infra what the checks of infra/ need. With lint it
# installs shellcheck alone. Called by `make deps`.
set -eu

has_postgres() {
	for dir in $(printf '%s' "$PATH" | tr ':' ' ') /usr/lib/postgresql/*/bin; do
		[ -x "$dir/initdb" ] && [ -x "$dir/postgres" ] && return 0
	done
	return 1
}

missing=
if [ "${1:-}" = npm ]; then
	command -v npm >/dev/null 2>&1 || missing="$missing nodejs npm"
elif [ "${1:-}" = lint ]; then
	command -v shellcheck >/dev/null 2>&1 || missing="$missing shellcheck"
else
	has_postgres || missing="$missing postgresql"
	command -v redis-server >/dev/null 2>&1 || missing="$missing redis-server"
	if [ "${1:-}" = test ] && ! PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v pgbouncer >/dev/null 2>&1; then
		missing="$missing pgbouncer"
	fi
	if [ "${1:-}" = infra ]; then
		for program in promtool:prometheus amtool:prometheus-alertmanager node:nodejs npm:npm; do
			command -v "${program%%:*}" >/dev/null 2>&1 || missing="$missing ${program#*:}"
		done
	fi
	if [ "${1:-}" = drill ]; then
		for program in pgbackrest jq; do
			command -v "$program" >/dev/null 2>&1 || missing="$missing $program"
		done
	fi
fi

if [ -n "$missing" ]; then
	if ! command -v apt-get >/dev/null 2>&1; then
		echo "souk needs:$missing. Install them with this system's package manager (macOS: brew install postgresql redis pgbouncer)." >&2
		exit 1
	fi
	as=
	if [ "$(id -u)" -ne 0 ]; then
		if ! command -v sudo >/dev/null 2>&1; then
			echo "souk needs:$missing. As root: apt-get install$missing" >&2
			exit 1
		fi
		as=sudo
	fi
	echo "installing$missing" >&2
	# The packages must not start their own servers, since souk runs private ones.
	policy=/usr/sbin/policy-rc.d
	made=
	if [ ! -e "$policy" ]; then
		printf '#!/bin/sh\nexit 101\n' | $as tee "$policy" >/dev/null
		$as chmod +x "$policy"
		made=1
	fi
	trap '[ -z "$made" ] || $as rm -f "$policy"' EXIT
	$as apt-get update -qq
	# shellcheck disable=SC2086 # split into words on purpose
	$as env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
fi

if ! command -v go >/dev/null 2>&1; then
	echo "souk needs Go 1.26 or newer: https://go.dev/dl" >&2
	exit 1
fi
version=$(go env GOVERSION)
minor=$(printf '%s' "$version" | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
if [ -n "$minor" ] && [ "$minor" -lt 26 ]; then
	echo "souk needs Go 1.26 or newer; the installed version is $version: https://go.dev/dl" >&2
	exit 1
fi

#!/usr/bin/env bash
# Tests deploy.sh with a recording helm and a Prometheus with set answers: which commands ran, and in which order.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT

cat >"$work/helm" <<'END'
#!/usr/bin/env bash
case $1 in
history) cat "$WORK/history" && exit ;;
upgrade) call="upgrade $3" ;; # helm upgrade --install NAME
rollback) call="rollback $2 $3" ;;
*) call="$1 $2" ;;
esac
echo "helm $call" >>"$WORK/calls"
state=${call// /-}
# From here on Prometheus answers what the case says for this state.
[ ! -e "$WORK/after-$state" ] || cp "$WORK/after-$state" "$WORK/burn"
[ ! -e "$WORK/fail-$state" ] || exit 1
END
chmod +x "$work/helm"
cat >"$work/prometheus.js" <<'END'
const fs = require('fs');
require('http')
  .createServer((request, response) => {
    const burn = fs.readFileSync(`${process.env.WORK}/burn`, 'utf8').trim();
    if (burn === 'down') return response.writeHead(503).end();
    const result = burn === 'nothing' ? [] : [{ metric: {}, value: [0, burn] }];
    response.end(JSON.stringify({ status: 'success', data: { resultType: 'vector', result } }));
  })
  .listen(0, '127.0.0.1', function () {
    fs.writeFileSync(`${process.env.WORK}/port`, String(this.address().port));
  });
END
export WORK=$work
echo 0 >"$work/burn"
node "$work/prometheus.js" &
server=$!
for _ in $(seq 100); do
  [ ! -s "$work/port" ] || break
  sleep 0.1
done

# Helm waits longer for the migration than the migration may take.
limit=$(sed -n 's/^  timeoutSeconds: //p' "$here/../helm/souk/values.yaml")
minutes=$(sed -n 's/^timeout=\([0-9]*\)m$/\1/p' "$here/deploy.sh")
if [ -z "$limit" ] || [ -z "$minutes" ] || [ $((minutes * 60)) -le "$limit" ]; then
  echo "deploy_test.sh: deploy.sh waits ${minutes:-?} minutes, and a migration may take ${limit:-?} s" >&2
  exit 1
fi

one='[{"revision": 7, "status": "deployed"}]'
# run NAME WANT-EXIT HISTORY BURN [FILE VALUE]... and then the wanted calls from the standard input.
run() {
  local name=$1 want=$2 got=0
  rm -f "$work"/after-* "$work"/fail-* "$work/calls"
  touch "$work/calls"
  echo "$3" >"$work/history"
  echo "$4" >"$work/burn"
  shift 4
  while [ $# -gt 0 ]; do
    echo "$2" >"$work/$1"
    shift 2
  done
  PATH="$work:$PATH" CHART=chart VERSION=1.2.3 IMAGE='ghcr.io/example/souk-{service}' PROMETHEUS_TOKEN=t BURN_QUERY=q \
    PROMETHEUS_URL="http://127.0.0.1:$(cat "$work/port")" CANARY_SECONDS=1 WATCH_SECONDS=1 POLL_SECONDS=0.2 \
    "$here/deploy.sh" values.yaml >"$work/out" 2>&1 || got=$?
  if [ "$got" != "$want" ] || ! diff "$work/calls" - >"$work/diff"; then
    cat "$work/out" "$work/diff" >&2
    echo "deploy_test.sh: $name: exit $got, want $want" >&2
    exit 1
  fi
  echo "deploy.sh: $name"
}

run "deploys by a canary" 0 "$one" 0.2 <<'END'
helm upgrade souk-canary
helm upgrade souk
helm uninstall souk-canary
END
run "the first release has no canary" 0 '[]' 0 <<'END'
helm upgrade souk
END
run "a canary that burns goes, and the release stays" 1 "$one" 0.2 after-upgrade-souk-canary 90 <<'END'
helm upgrade souk-canary
helm uninstall souk-canary
END
run "a canary that does not start goes" 1 "$one" 0.2 fail-upgrade-souk-canary 1 <<'END'
helm upgrade souk-canary
helm uninstall souk-canary
END
run "an upgrade that fails is Helm's to take back" 1 "$one" 0.2 fail-upgrade-souk 1 <<'END'
helm upgrade souk-canary
helm upgrade souk
helm uninstall souk-canary
END
run "a release that burns goes back to its last revision" 1 "$one" 0.2 after-upgrade-souk 20 <<'END'
helm upgrade souk-canary
helm upgrade souk
helm uninstall souk-canary
helm rollback souk 7
END
run "nothing is deployed while the budgets burn" 1 "$one" 15 <<'END'
END
run "nothing is deployed without Prometheus" 1 "$one" down <<'END'
END
run "nothing is deployed if the query has no value" 1 "$one" nothing <<'END'
END
run "a release goes back if Prometheus falls silent" 1 "$one" 0.2 after-upgrade-souk down <<'END'
helm upgrade souk-canary
helm upgrade souk
helm uninstall souk-canary
helm rollback souk 7
END

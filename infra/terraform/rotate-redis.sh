#!/usr/bin/env bash
# Gives souk's user of Redis a new password, and puts it into Secrets Manager. Run it once after the first apply, and then
# whenever it is due. ElastiCache accepts the old password beside the new one until the next rotation, so that running
# processes keep working: restart them meanwhile. No password is in a command line.
#
# usage: rotate-redis.sh USER_ID SECRET      (outputs redis_user; souk/production/souk-redis)
set -euo pipefail
[ $# -eq 2 ] || {
  echo "usage: rotate-redis.sh USER_ID SECRET" >&2
  exit 2
}
user=$1 secret=$2
umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

new=$(openssl rand -hex 32)
# ElastiCache keeps at most two passwords: the one in the secret, if there is one, and the new one.
if aws secretsmanager get-secret-value --secret-id "$secret" --query SecretString --output text >"$work/old" 2>"$work/error"; then
  old=$(jq -r '.password // empty' "$work/old")
elif grep -q ResourceNotFoundException "$work/error"; then
  old= # it has no value yet
else
  # Without the old password, the running processes would be cut off.
  cat "$work/error" >&2
  exit 1
fi
jq -n --arg user "$user" --arg old "$old" --arg new "$new" \
  '{UserId: $user, Passwords: ([$new, $old] | map(select(. != "")))}' >"$work/user.json"
aws elasticache modify-user --cli-input-json "file://$work/user.json" --query Status --output text
for _ in $(seq 60); do
  status=$(aws elasticache describe-users --user-id "$user" --query 'Users[0].Status' --output text)
  [ "$status" != active ] || break
  sleep 5
done
[ "$status" = active ] || {
  echo "rotate-redis.sh: $user is $status after five minutes; the secret still has the old password" >&2
  exit 1
}
jq -n --arg new "$new" '{password: $new}' >"$work/secret.json"
aws secretsmanager put-secret-value --secret-id "$secret" --secret-string "file://$work/secret.json" --query VersionId --output text
echo "rotate-redis.sh: $secret has the new password. Let External Secrets read it, then restart souk's processes"

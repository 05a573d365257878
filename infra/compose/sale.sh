#!/usr/bin/env bash
# Sells something over the API of the marketplace that compose.yaml runs, as a trial: an operator opens a shop with a
# product, and a customer buys it by card. It needs curl and jq. The payment provider is the sandbox, so no money moves.
#
# usage: sale.sh shop    opens the shop, and prints the ID of the product's variant; may be repeated
#        sale.sh buy     buys one, waits until it is paid, and prints the order's ID
#        sale.sh mail    waits until the mail sink has the mail about the newest order
# environment: API, OIDC, MAIL (URLs), SECRETS_DIR, CUSTOMER (an e-mail address), WAIT (seconds, default 60)
set -euo pipefail
cd "$(dirname "$0")"
API=${API:-http://127.0.0.1:8080} OIDC=${OIDC:-http://127.0.0.1:8090} MAIL=${MAIL:-http://127.0.0.1:8025}
secrets=${SECRETS_DIR:-secrets}
customer=${CUSTOMER:-ana@example.com}
wait=${WAIT:-60}

# Tokens go to curl in a file, for other users see the arguments of a process.
headers=$(mktemp -d)
trap 'rm -rf "$headers"' EXIT

# call HEADER-FILE METHOD URL [JSON] prints the answer, and fails with it unless it is 2xx.
call() {
  local out status
  out=$(curl -sS -m 30 -X "$2" -H "@$headers/$1" -H 'Content-Type: application/json' -w '\n%{http_code}' "$3" ${4:+-d "$4"})
  status=${out##*$'\n'}
  out=${out%$'\n'*}
  case $status in
  2??) printf '%s\n' "$out" ;;
  *)
    printf '%s %s: %s %s\n' "$2" "$3" "$status" "$out" >&2
    return 1
    ;;
  esac
}

# sign_in NAME EMAIL ROLE writes a header with a token of the development provider.
sign_in() {
  [ -s "$headers/provider" ] || printf 'Authorization: Bearer %s\n' "$(cat "$secrets/raw/oidc")" >"$headers/provider"
  printf 'Authorization: Bearer %s\n' "$(call provider POST "$OIDC/dev/token" "{\"email\": \"$2\", \"roles\": [\"$3\"]}" |
    jq -er .accessToken)" >"$headers/$1"
}

variant() { call anyone GET "$API/v1/products/by-handle/corner-shop/cup" | jq -er '.variants[0].id'; }
printf 'Accept: application/json\n' >"$headers/anyone"

case ${1:-} in
shop)
  sign_in operator operator@example.com operator
  call operator POST "$API/v1/shops" '{"handle": "corner-shop", "name": "Corner Shop"}' >/dev/null 2>"$headers/refused" ||
    grep -q already_exists "$headers/refused" || {
    cat "$headers/refused" >&2
    exit 1
  }
  call operator POST "$API/v1/products:import" '{"products": [{"shop": "corner-shop", "handle": "cup", "title": "Cup",
    "status": "active", "variants": [{"sku": "CUP-1", "onHand": 10000, "price": {"currencyCode": "BRL", "amount": "39.90"}}]}]}' |
    jq -e '.results[0].outcome != "rejected"' >/dev/null
  variant
  ;;
buy)
  sign_in customer "$customer" customer
  call customer DELETE "$API/v1/cart" >/dev/null # what a checkout that failed has left
  call customer POST "$API/v1/cart/items" "{\"variantId\": \"$(variant)\", \"quantity\": 1}" >/dev/null
  key=$(openssl rand -hex 16)
  printf 'Idempotency-Key: %s\n' "$key" | cat "$headers/customer" - >"$headers/checkout"
  # The key makes a repetition safe: whatever became of the first request, there is one order.
  for attempt in 1 2 3 4 5; do
    if order=$(call checkout POST "$API/v1/checkout" '{"shippingAddress": {"name": "Ana", "line1": "Rua das Flores 1",
      "city": "Fortaleza", "region": "CE", "postalCode": "60000-000", "countryCode": "BR"},
      "payment": {"method": "card", "token": "tok_ok"}}' 2>"$headers/refused"); then
      break
    fi
    [ "$attempt" -lt 5 ] || {
      cat "$headers/refused" >&2
      exit 1
    }
    sleep 1
  done
  id=$(jq -er .order.id <<<"$order")
  until [ "$(call customer GET "$API/v1/orders/$id" | jq -r '(.order // .).payment.status')" = captured ]; do
    [ "$SECONDS" -lt "$wait" ] || {
      echo "the order $id is not paid within $wait s" >&2
      exit 1
    }
    sleep 0.5
  done
  echo "$id"
  ;;
mail)
  sign_in customer "$customer" customer
  number=$(call customer GET "$API/v1/orders?pageSize=1" | jq -er '.orders[0].number')
  until call anyone GET "$MAIL/api/v1/messages" |
    jq -er --arg to "$customer" --arg number "$number" \
      '[.messages[] | select((.To[].Address == $to) and (.Subject | contains($number)))][0].Subject // empty'; do
    [ "$SECONDS" -lt "$wait" ] || {
      echo "the mail about order $number did not come within $wait s" >&2
      exit 1
    }
    sleep 1
  done 2>/dev/null
  ;;
*)
  sed -n 's/^# \{0,1\}//p' "$0" | sed -n '2,9p' >&2
  exit 2
  ;;
esac

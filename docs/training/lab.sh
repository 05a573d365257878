# shellcheck shell=bash
# Functions of the labs. Source it in a shell whose working directory has the data directory .souk of a running souk dev.
API=${API:-http://127.0.0.1:8080}
JSON='Content-Type: application/json'

# sign_in EMAIL makes the further commands act as this customer.
sign_in() { ME="Authorization: Bearer $(souk token --email "$1")"; }

# database SERVICE SQL runs a statement in the database of a service.
database() { psql -qAt -F ' | ' "$(jq -r --arg s "$1" '.databases[$s]' .souk/dev.json)" -c "$2"; }

# variant WORDS prints the first variant of the first product that a search finds.
variant() { curl -sG "$API/v1/products" --data-urlencode "query=$1" | jq -r '.products[0].variants[0].id // empty'; }

# buy TOKEN WORDS buys one piece of what a search finds, and prints the answer's status, the order and the trace.
# The token tells the payment provider what to do. An order is in $ORDER afterwards, the trace in $TRACE.
buy() {
  local body
  TRACE=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  curl -s -o /dev/null -X DELETE -H "$ME" "$API/v1/cart"
  curl -s -o /dev/null -H "$ME" -H "$JSON" "$API/v1/cart/items" -d "{\"variantId\": \"$(variant "$2")\", \"quantity\": 1}"
  body=$(curl -s -m 60 -w '\n%{http_code}' -H "$ME" -H "$JSON" -H "Idempotency-Key: $TRACE" \
    -H "traceparent: 00-$TRACE-00f067aa0ba902b7-01" "$API/v1/checkout" -d "{\"shippingAddress\": {\"name\": \"Ana\",
    \"line1\": \"Rua das Flores 1\", \"city\": \"Fortaleza\", \"region\": \"CE\", \"postalCode\": \"60000-000\",
    \"countryCode\": \"BR\"}, \"payment\": {\"method\": \"card\", \"token\": \"$1\"}}")
  # shellcheck disable=SC2034 # for the labs
  ORDER=$(head -n 1 <<<"$body" | jq -r '.order.id // empty')
  echo "$(tail -n 1 <<<"$body") $(head -n 1 <<<"$body" | jq -r 'if .order then .order.id + " " + .order.status else .code end') trace $TRACE"
}

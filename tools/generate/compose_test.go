package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const composeText = `
x-souk: &souk
  image: souk
services:
  auth:
    image: by-hand
  # begin services (make generate)
  gone:
    image: old
  # end services
networks:
  cart:
secrets:
  # begin secrets (make generate)
  # end secrets
  more: {}
`

func TestComposeRunsServicesThatAreNotWrittenByHand(t *testing.T) {
	t.Parallel()
	all := []service{{Name: "auth", Redis: true}, {Name: "cart", Database: true, Redis: true}, {Name: "plain"}}
	text, err := composeServices(composeText, all)
	require.NoError(t, err)
	require.Equal(t, `
x-souk: &souk
  image: souk
services:
  auth:
    image: by-hand
  # begin services (make generate)
  cart:
    <<: *souk
    command: [run, --target=cart]
    secrets:
      - {source: cart, target: souk.yaml}
    networks: [souk, data]
    depends_on: {<<: [*natsauth, *databases, *redis]}

  plain:
    <<: *souk
    command: [run, --target=plain]
    secrets:
      - {source: plain, target: souk.yaml}
    networks: [souk]
    depends_on: {<<: [*natsauth]}

  # end services
networks:
  cart:
secrets:
  # begin secrets (make generate)
  auth: {file: ./secrets/auth.yaml}
  cart: {file: ./secrets/cart.yaml}
  plain: {file: ./secrets/plain.yaml}
  # end secrets
  more: {}
`, text)
	again, err := composeServices(text, all)
	require.NoError(t, err)
	require.Equal(t, text, again)
	require.Contains(t, serviceLists(all), "services=\"auth cart plain\"\ndatabases=\"cart\"\nredis=\"auth cart\"\n")
}

func TestGeneratedPartsNeedTheirLines(t *testing.T) {
	t.Parallel()
	_, err := scrapedServices("scrape_configs:\n", nil)
	require.ErrorContains(t, err, `"# begin services (make generate)" and "# end services" are missing`)
}

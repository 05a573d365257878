# The commands for developers and CI. `make` without a target lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# The slowest package comes first: the others run while it waits.
GO_PACKAGES ?= ./tests/e2e ./...
BIN := bin/souk

help: ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

deps: ## install what is missing (PostgreSQL and Redis, on Debian)
	@tools/deps.sh

deps-test: # deps, and what tests need
	@tools/deps.sh test

build: ## build bin/souk
	@go build -o $(BIN) ./cmd/souk

run: deps build ## start souk with demo shops on http://127.0.0.1:8080
	@exec $(BIN) dev --demo

test: deps-test ## all tests, on a private PostgreSQL and Redis
	@go run ./tools/testenv -- go test -timeout 25m $(GO_PACKAGES)

race: deps-test ## all tests under the race detector
	@go run ./tools/testenv -- go test -race -timeout 40m $(GO_PACKAGES)

cover: deps-test ## all tests, and how much of the hand-written code they cover: fails below 80 %
	@go run ./tools/testenv -- go run ./tools/cover

ferretdb: deps ## documents on FerretDB, which speaks MongoDB's protocol (minutes to build at the first time)
	@go run ./tools/testenv -- go -C tests/ferretdb test -count=1 -v ./...

pooled: deps-test ## the services' tests behind PgBouncer in transaction mode
	@SOUK_TEST_POOLED=1 go run ./tools/testenv -- go test -count=1 -timeout 25m ./apps/...

clustered: deps-test ## end-to-end tests on clusters of NATS and Redis and a PostgreSQL replica, and the loss of their servers
	@SOUK_TEST_CLUSTERED=1 SOUK_TEST_REDIS=cluster go run ./tools/testenv -- go test -count=1 -timeout 25m -run '^(TestSuite|TestCluster)' -v ./tests/e2e

infra-check: deps ## the quick checks of images, Compose, Kubernetes, Terraform, pipelines, alerts and load scripts
	@tools/deps.sh infra
	@infra/check.sh

infra-ci: deps # the part of infra-check that CI has time for
	@tools/deps.sh infra
	@infra/check.sh --ci

ops-check: build ## the long ones: image, Compose drill, Helm on a real control plane, OpenTofu, collector (cold: an hour)
	@tools/deps.sh infra
	@infra/drill.sh

drill: build ## lose all volumes under load and restore them to a second before; lose a region (a quarter of an hour)
	@tools/deps.sh drill
	@go run ./tests/drill -orders 100000
	@go run ./tests/drill -regions

chaos: deps ## stop each service of a split souk at every failpoint of the checkout (some minutes)
	@SOUK_TEST_CHAOS=1 go run ./tools/testenv -- go test -count=1 -timeout 30m -run 'Crash|Kill|Outage|Restart' -v ./tests/e2e

generate: ## regenerate gen/ from proto/
	@go run ./tools/generate

sqlc: ## regenerate what sqlc makes of SQL
	@go run ./tools/sqlgen

format: ## format hand-written Go: gofmt, and lines of at most 120 columns
	@tools/golangci.sh fmt

lint: ## formatting, vet, import rules, contracts
	@tools/lint.sh

vuln: ## known vulnerabilities in what souk calls
	@go run ./tools/vuln

licences: ## whether the licences of all modules and npm packages are allowed
	@go run ./tools/licences

sbom: ## write bin/souk.cdx.json, the modules of bin/souk with their licences (CycloneDX)
	@mkdir -p bin
	@go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0 app -json -licenses -output bin/souk.cdx.json -main cmd/souk .

api: ## check the OpenAPI document, and that the TypeScript client fits it (needs Node.js 20.19 or newer)
	@tools/deps.sh npm
	@tools/openapi/check.sh
	@tools/openapi/client.sh --check

client: ## generate, build and pack the TypeScript client gen/ts
	@tools/deps.sh npm
	@tools/openapi/client.sh

client-test: deps build ## test the TypeScript client against a souk dev
	@tools/deps.sh npm
	@tools/openapi/client.sh --test

bench: deps build ## measure and print the table of docs/benchmarks/figures.md
	@go run ./tests/bench

load: deps build ## load with planned arrivals, up to half of the capacity, while every service is restarted (12 minutes)
	@go run ./tests/load

profile: deps build ## measure, and keep the profiles that the compiler optimizes souk for (ADR 0012)
	@rm -rf bin/profiles
	@go run ./tests/bench -only get,list,get-cached,cart,search,checkout,hot -profile bin/profiles
	@go tool pprof -proto -output cmd/souk/default.pgo bin/profiles/*.pprof

# Tests are built without the profile: with it, everything would be compiled a second time for them.
test race cover ferretdb pooled drill infra-check infra-ci ops-check chaos lint client-test: export GOFLAGS += -pgo=off

.PHONY: help licences sbom vuln deps deps-test build run test race cover ferretdb pooled drill infra-check infra-ci ops-check chaos generate sqlc format lint api client client-test bench load profile

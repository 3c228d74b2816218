# `make` lists the verbs. Two of them do all their set-up themselves: demo and test.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

GO       ?= go
FUZZTIME ?= 10s
COUNT    ?= 10
BENCH    ?= .
RECORDS  ?= 2000000
ROUNDS   ?= 3
ONLY     ?=
FIGURES  ?=
SEEDS    ?= 1000
SEED     ?= 1
DURATION ?= 5m
NODES    ?= 3
KILLS    ?= 4s
RATE     ?= 5000
KEYS     ?= 20000
REPORT   ?=
tool     := $(GO) tool -modfile=scripts/tools/go.mod

.PHONY: help
help: ## list the verbs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

.PHONY: demo
demo: ## the main job: a month of flights on an embedded broker, workers killed in the middle; then its history again, by another rule
	$(GO) run ./examples/flights demo

.PHONY: build
build: ## build the tool and the examples into bin/
	$(GO) build -o bin/ ./cmd/... ./examples/...

.PHONY: setup
setup: ## install what test needs beside Go: a C compiler, Java, Kafka's jars, an S3 server
	@scripts/setup.sh

.PHONY: test
test: setup check ## all tests and checks, on kfake, real Kafka and a real S3 server: what CI runs
	CGO_ENABLED=1 $(GO) test -short -race ./...
	$(GO) test -count=1 -timeout 20m ./...

.PHONY: test-short
test-short: ## the tests that need nothing but Go
	$(GO) test -short ./...

.PHONY: test-race
test-race: setup ## all tests, real Kafka too, under the race detector
	CGO_ENABLED=1 $(GO) test -count=1 -race -timeout 40m ./...

.PHONY: sim
sim: ## the simulations of engine and archiver: SEEDS runs (1000) of each from seed SEED (1), each with faults of its own
	$(GO) test -count=1 -timeout 4h ./internal/engine ./internal/archiver -run 'TestSimulation$$' -seeds=$(SEEDS) -seed=$(SEED) -v

.PHONY: chaos
chaos: setup ## real processes and brokers, killed for DURATION (5m); NODES (3), SEED (1), KILLS (every 4s), RATE (5000 a second, 0: all), KEYS, REPORT (a file)
	$(GO) test -count=1 -timeout 24h ./internal/chaos -run 'TestChaos$$' -v \
		-duration=$(DURATION) -nodes=$(NODES) -seed=$(SEED) -kills=$(KILLS) -rate=$(RATE) -keys=$(KEYS) $(if $(REPORT),-report=$(abspath $(REPORT)))

.PHONY: check
check: fmt vet staticcheck tidy-check lint ## every check but the tests

.PHONY: fmt
fmt: # fails, naming the files, where gofmt would change something
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "not formatted (gofmt -w): $$unformatted"; exit 1; }

.PHONY: vet
vet:
	$(GO) vet ./...

.PHONY: staticcheck
staticcheck:
	$(tool) staticcheck ./...

.PHONY: tidy-check
tidy-check: # a failure here means: make tidy
	$(GO) mod tidy -diff

.PHONY: lint
lint: ## the rules of the house: floors, owners of imports, comments, phrases
	$(GO) test -count=1 ./internal/lint

.PHONY: tidy
tidy: ## format the code and tidy go.mod
	gofmt -w .
	$(GO) mod tidy
	cd scripts/tools && $(GO) mod tidy
	cd scripts/versitygw && $(GO) mod tidy

.PHONY: vuln
vuln: ## look for known vulnerabilities (asks a database on the network)
	$(tool) govulncheck ./...

.PHONY: bench
bench: setup ## figures of whole programs on real Kafka, into docs/bench/ (RECORDS, ROUNDS, ONLY=regexp, FIGURES=flags)
	$(GO) test -count=1 -timeout 24h ./internal/bench -run 'TestFigures$$' -v -figures -records=$(RECORDS) -rounds=$(ROUNDS) -only='$(ONLY)' $(FIGURES)

.PHONY: bench-go
bench-go: ## Go's benchmarks of single packages, into docs/bench/ (COUNT=10, BENCH=regexp)
	@scripts/bench.sh '$(BENCH)' '$(COUNT)'

.PHONY: fuzz
fuzz: ## fuzz each decoder for FUZZTIME (10s)
	@scripts/fuzz.sh '$(FUZZTIME)'

.PHONY: golden
golden: ## rewrite the golden files; explain each changed line in the commit
	@packages=$$(grep -rlE '"rewrite"|cockroachdb/datadriven' --include='*_test.go' . | xargs -rn1 dirname | sort -u); \
	[ -z "$$packages" ] || $(GO) test -short $$packages -rewrite

.PHONY: clean
clean: ## remove what was built and the caches of tests
	rm -rf bin
	$(GO) clean -testcache

# Holdfast: everything a contributor runs, from a fresh clone, with Go, git and
# make on the PATH and nothing else set. `make` alone lists the targets.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# The modules of go.work, in the order in which a failure is most useful.
MODULES := . gateway conformance bench

# Stamping asks git about the checkout, which fails where another user owns it
# (containers, CI). The version below says the same and degrades to "dev".
export GOFLAGS := $(strip $(GOFLAGS) -buildvcs=false)
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# Pinned: a new release of a tool is a commit of ours, not a surprise.
GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK   := golang.org/x/vuln/cmd/govulncheck@v1.9.0

# How long `make fuzz` spends on each Fuzz function.
FUZZTIME ?= 10s

# How long and how often `make microbench` runs each Benchmark function.
MICROTIME  ?= 0.3s
MICROCOUNT ?= 1

.PHONY: help
help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/holdfast, one static binary
	@mkdir -p bin
	cd gateway && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o ../bin/holdfast ./cmd/holdfast

.PHONY: demo
demo: build ## build, then watch an outage that users do not notice (no key, no network)
	bin/holdfast demo

.PHONY: packages
packages: ## check that the Debian packages the tests need are there (root: install them)
	@scripts/packages

.PHONY: test
test: packages ## every test of every module with the race detector; ends with the count
	@CGO_ENABLED=1 go run ./internal/testtool $(MODULES)

.PHONY: conformance
conformance: ## every client with every fault (4 minutes); HOLDFAST_WRITE_DOCS=1 writes its page
	cd conformance && HOLDFAST_CONFORMANCE=1 CGO_ENABLED=1 go test -race -count=1 -timeout 20m -run 'TestEveryClientSeesEachFault' .

.PHONY: fuzz
fuzz: ## every Fuzz function for FUZZTIME (10s) each
	@scripts/fuzz $(FUZZTIME)

.PHONY: clients
clients: build ## Claude Code and Codex for real (5 minutes; npm); HOLDFAST_WRITE_DOCS=1 writes their page
	cd conformance && HOLDFAST_REQUIRE=$${HOLDFAST_REQUIRE:+$$HOLDFAST_REQUIRE,}clients HOLDFAST_CLIENTS=1 HOLDFAST_BINARY=$(CURDIR)/bin/holdfast go test -count=1 -v -parallel 8 -timeout 20m ./agents

# How many seeds each simulation of `make experiments` runs with.
SEEDS ?= 20

.PHONY: experiments
experiments: ## the simulations with SEEDS (20) seeds each (some minutes); writes docs/explanation/experiments.md
	HOLDFAST_SEEDS=$(SEEDS) HOLDFAST_WRITE_DOCS=1 go test -count=1 -timeout 60m -skip TestThePageShows ./experiments
	HOLDFAST_SEEDS=$(SEEDS) HOLDFAST_WRITE_DOCS=1 go test -count=1 -timeout 60m -run "TestATokenLimitIsUsedAndNotHit|TestABurstOfImpatientCallers|TestAStallIsOver|TestAnAdaptiveLimitFinds" .
	HOLDFAST_SEEDS=$(SEEDS) go test -count=1 -v -run "TestAnAdaptiveLimit|TestALimitGrows|TestAServerThatBecomesSlower" ./concurrency
	HOLDFAST_WRITE_DOCS=1 go test -count=1 -run TestThePageShows ./experiments

.PHONY: attack
attack: build ## what was done to other gateways, against bin/holdfast (some minutes)
	cd gateway && HOLDFAST_REQUIRE=$${HOLDFAST_REQUIRE:+$$HOLDFAST_REQUIRE,}h2spec HOLDFAST_ATTACK=1 HOLDFAST_BINARY=$(CURDIR)/bin/holdfast go test -count=1 -v -timeout 15m ./attack

.PHONY: bench
bench: ## nginx, HAProxy, ReverseProxy, Portkey and Holdfast side by side (12 minutes); writes docs/reference/benchmarks.md
	@cd bench && go build -o ../bin/bench . && ../bin/bench -out ../docs/reference $(BENCHFLAGS)

.PHONY: bench-quick
bench-quick: ## Holdfast / tuned ReverseProxy, CPU per request and streamed event (about a minute)
	@cd bench && go build -o ../bin/bench . && ../bin/bench -quick $(BENCHFLAGS)

.PHONY: microbench
microbench: ## one room at a time, with allocations; MICROCOUNT=10 for benchstat
	@set -o pipefail; go test -run '^$$' -bench . -benchmem -benchtime $(MICROTIME) -count $(MICROCOUNT) ./... | { grep -v "no test files" || true; }
	@cd bench && go test -run '^$$' -bench . -benchmem -benchtime $(MICROTIME) -count $(MICROCOUNT) ./policies

# One scenario of `make soak`, by a part of its name, and where its tables go.
SOAK ?= .
SOAK_OUT ?= $(CURDIR)/bin/soak

.PHONY: soak
soak: build ## a million calls, streams, slow readers, traces, against bin/holdfast (half an hour)
	cd gateway && HOLDFAST_SOAK=1 HOLDFAST_BINARY=$(CURDIR)/bin/holdfast SOAK_OUT=$(SOAK_OUT) SOAK_REQUESTS=$(SOAK_REQUESTS) \
		SOAK_MINUTES=$(SOAK_MINUTES) SOAK_SPEED=$(SOAK_SPEED) go test -v -count=1 -timeout 90m -run '$(SOAK)' ./soak

.PHONY: golden
golden: ## record again what opossum, p-queue, p-retry, rate-limiter-flexible and backoff do (npm, python3)
	@scripts/golden

.PHONY: lint
lint: ## golangci-lint with .golangci.yml (downloads it on first use)
	@status=0; for m in $(MODULES); do echo "lint $$m"; \
		(cd $$m && go run $(GOLANGCI_LINT) run --config $(CURDIR)/.golangci.yml ./...) || status=1; \
	done; exit $$status

.PHONY: vuln
vuln: ## known vulnerabilities that our code reaches (skips when the database is away)
	@scripts/vuln $(GOVULNCHECK) $(MODULES)

.PHONY: fmt
fmt: ## gofmt every file
	@gofmt -l -w $$(git ls-files --cached --others --exclude-standard '*.go')

.PHONY: docs
docs: ## write the generated parts of docs/reference and docs/explanation
	HOLDFAST_WRITE_DOCS=1 go test -count=1 -run 'TestTheReferenceSays|TestThePageShows' . ./provider/all ./experiments
	cd gateway && HOLDFAST_WRITE_DOCS=1 go test -count=1 -run TestTheReference ./admin ./cli ./config ./soak ./telemetry/...

.PHONY: tidy
tidy: ## go mod tidy in every module
	@for m in $(MODULES); do (cd $$m && go mod tidy) || exit 1; done

.PHONY: clean
clean: ## remove what the targets above made
	rm -rf bin dist

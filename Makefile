# The gates and the commands of the house. `make` alone tells what there is.

SHELL   := bash
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
LINT    := $(GO) tool -modfile=tools/go.mod golangci-lint
VULN    := $(GO) tool -modfile=tools/go.mod govulncheck

FUZZTIME ?= 30s
ARGS     ?=

# What tests start besides Go: command, or command:packages where their names differ. The race detector needs a C compiler, and only
# tests of the console need a browser.
TEST_NEEDS = gcc:gcc,libc6-dev redis-server $(if $(shell grep -rl --include='*_test.go' chromium . 2>/dev/null | head -n 1),chromium)

.PHONY: help build demo test check lint vuln fmt fuzz bench promises soak real

help: ## tell what there is
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

build: ## build bin/warmlane
	CGO_ENABLED=0 $(GO) build -ldflags '$(LDFLAGS)' -o bin/warmlane ./cmd/warmlane

demo: build ## compare policies on simulated replicas; ARGS="--json" and the like are passed on
	bin/warmlane demo $(ARGS)

test: ## install what tests need, then run all tests under the race detector
	tools/need.sh $(TEST_NEEDS)
	$(GO) test -race -timeout 8m ./...

check: lint vuln ## everything a change has to pass besides the tests: format, linters, vulnerabilities, imports, builds, a short fuzz
	$(GO) vet ./...
	$(GO) test -count=1 -run '^TestHouse' .
	CGO_ENABLED=0 GOOS=linux GOARCH=amd64 $(GO) build -o /dev/null ./cmd/warmlane
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(GO) build -o /dev/null ./cmd/warmlane
	tools/fuzz.sh 3s

lint: ## format check and linters (ARGS=--fix repairs what it can); the first run builds golangci-lint, which takes minutes
	$(LINT) run $(ARGS) ./...

vuln: ## look for known vulnerabilities in code that is used; it says so and passes where vuln.go.dev cannot be reached
	$(VULN) ./... || [ $$? != 3 ]

fmt: ## format all code with gofumpt
	$(LINT) fmt ./...

fuzz: ## run every fuzz target for FUZZTIME (30s)
	tools/fuzz.sh $(FUZZTIME)

bench: ## run all benchmarks
	$(GO) test -run '^$$' -bench . -benchmem -timeout 30m ./...

promises: ## hold the measured figures of all promises against their bounds, without the race detector
	WARMLANE_PROMISES=1 $(GO) test -count=1 -p 1 -timeout 60m -run '^TestPromise' -v ./...

soak: ## half an hour of random faults at 300 requests/s; memory and goroutines must stay flat (ARGS="-for 5m" and the like)
	$(GO) run ./bench/soak $(ARGS)

real: ## compare policies on real vLLM replicas on the CPU (downloads 6 GB the first time)
	$(GO) run ./bench/real $(ARGS)

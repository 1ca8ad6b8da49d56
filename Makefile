# Herald's chores. `make` alone lists them. ARGS goes to go test: make test ARGS='-run Resume -v'

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

GO         ?= go
ARGS       ?=
FUZZTIME   ?= 5s
STRESSTIME ?= 60s
BENCH      ?= .

# The linter is built once for each of its versions and of Go's: one that an older Go built refuses
# newer code.
LINT_VERSION := v2.15.0
LINT = bin/golangci-lint-$(LINT_VERSION)-$(shell $(GO) env GOVERSION)/golangci-lint

# Each file is linted on a system that builds it: windows has what is not unix. TestStyle finds a file
# that none of them builds.
LINT_SYSTEMS  := linux darwin windows
CROSS_SYSTEMS := darwin windows

# bench/ is a module of its own; it runs on Linux only.
GO_FILES = find . \( -name node_modules -o -name '.?*' \) -prune -o -name '*.go' -print0

.PHONY: help
help: ## List what make can do here
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: setup
setup: ## Install the programs that the tests need, where they are missing
	@scripts/setup

.PHONY: build
build: ## Build the server into bin/herald
	$(GO) build -trimpath -o bin/herald ./cmd/herald

.PHONY: fmt
fmt: ## Format every Go file
	@$(GO_FILES) | xargs -0 -r gofmt -s -l -w

.PHONY: fmt-check
fmt-check: ## Fail if a Go file is not formatted
	@found=$$($(GO_FILES) | xargs -0 -r gofmt -s -l); \
	if [ -n "$$found" ]; then printf 'not formatted, run make fmt:\n%s\n' "$$found" >&2; exit 1; fi

.PHONY: vet
vet: ## Run go vet
	$(GO) vet ./...
	cd bench && $(GO) vet ./...

.PHONY: lint
lint: $(LINT) ## Run golangci-lint over the code of each system
	@for system in $(LINT_SYSTEMS); do \
		echo "lint: $$system"; \
		GOOS=$$system $(LINT) run ./...; \
	done
	@echo "lint: bench"
	@cd bench && $(CURDIR)/$(LINT) run ./...

$(LINT):
	@echo "lint: building golangci-lint $(LINT_VERSION), this once"
	@said=$$(GOBIN="$(CURDIR)/$(@D)" $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION) 2>&1) \
	|| { printf '%s\n' "$$said" >&2; exit 1; }

# A test that hangs is to be reported, with its stacks, while somebody still waits for it.
# SQLite's own code, which is C made into Go, is not looked at for races: its memory is none of Go's, and it would
# be many times slower.
GO_TEST = $(GO) test -race -shuffle=on -timeout 10m -gcflags='modernc.org/sqlite/lib=-race=false'

.PHONY: test
test: setup fmt-check vet lint ## Run everything that has to pass: setup, fmt-check, vet, lint, the tests
	$(GO_TEST) $(ARGS) ./...
	cd bench && $(GO_TEST) $(ARGS) ./...
	@$(MAKE) --no-print-directory contract

# The contract is the same whatever carries a connection: all tests of these files are run once more over
# each transport but the one that every test runs over. HTTP/2 carries no WebSocket: there those over tls hold.
TRANSPORTS     := goroutine tls http2
CONTRACT_FILES := contract_*_test.go promises_test.go
STREAM_FILES   := contract_sse_*_test.go contract_http_*_test.go contract_history_*_test.go promises_test.go

# They wait more than they work, so that all at once take little longer than one.
.PHONY: contract
contract: ## Run the tests of the contract over the other TRANSPORTS
	@$(MAKE) --no-print-directory --jobs --output-sync=target $(TRANSPORTS:%=contract-%)

.PHONY: $(TRANSPORTS:%=contract-%)
$(TRANSPORTS:%=contract-%): contract-%:
	@files="$(CONTRACT_FILES)"; \
	[ $* != http2 ] || files="$(STREAM_FILES)"; \
	tests=$$(sed -nE 's/^func ((Test|Fuzz|Example)[^([]*).*/\1/p' $$files | paste -sd '|' -); \
	[ -n "$$tests" ] || { echo "contract: no tests in $$files" >&2; exit 1; }; \
	echo "contract: over $*"; \
	HERALD_TEST_TRANSPORT=$* $(GO_TEST) -run "^($$tests)\$$" $(ARGS) .

# go test fuzzes one target of one package at a time.
.PHONY: fuzz
fuzz: ## Fuzz each target for FUZZTIME (5s)
	@for module in . bench; do cd "$(CURDIR)/$$module"; \
	$(GO) test -list '^Fuzz' ./... \
	| awk '/^Fuzz/ { target[++n] = $$1 } /^ok/ { for (i = 1; i <= n; i++) print $$2, target[i]; n = 0 }' \
	| while read -r package target; do \
		echo "fuzz: $$package $$target"; \
		$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package" </dev/null; \
	done; done

.PHONY: test-faults
test-faults: setup ## Test the long faults of Redis too, in five minutes, and put all results into docs/reliability.md
	HERALD_TEST_FAULTS=1 HERALD_TEST_FAULTS_PAGE=docs/reliability.md \
	$(GO) test -race -count=1 -timeout 15m -run '^TestFaults' $(ARGS) .

.PHONY: stress
stress: ## Have connections come, stall and die for STRESSTIME (60s), with the race detector and without
	@for race in -race ''; do \
		echo "stress: $(STRESSTIME) $$race"; \
		HERALD_STRESS=$(STRESSTIME) $(GO) test $$race -count=1 -run '^TestStress$$' $(ARGS) .; \
	done

.PHONY: bench
bench: ## Measure Herald beside its peers, in some 35 minutes; ARGS=-quick takes five, ARGS=-help tells more
	@cd bench && $(GO) build -trimpath -o bin/bench . && bin/bench $(ARGS)

.PHONY: bench-docs
bench-docs: ## Put the figures of the last make bench into docs/performance.md and .svg
	@cd bench && $(GO) build -trimpath -o bin/bench . && bin/bench -from results/latest.json -docs >/dev/null

.PHONY: gobench
gobench: ## Run the Go benchmarks that match BENCH (all)
	@packages=$$($(GO_FILES) | { xargs -0 -r grep -lE '^func Benchmark' || true; } | xargs -r -n 1 dirname | grep -v '^./bench' | sort -u); \
	[ -n "$$packages" ] || { echo "gobench: no benchmarks"; exit 0; }; \
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem $(ARGS) $$packages

.PHONY: cross
cross: ## Build and vet for the systems that the tests do not run on
	@for system in $(CROSS_SYSTEMS); do \
		GOOS=$$system $(GO) build ./...; \
		GOOS=$$system $(GO) vet ./...; \
	done

.PHONY: clean
clean: ## Remove what was built here
	rm -rf bin dist coverage* bench/bin

# Datapunk Mesh. `make run` and `make test` are all a newcomer needs; both install what is missing.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

JOBS ?= $(shell nproc)
# PEERS=0: do not install or use the foreign programs that tests talk to (Redis, HAProxy, Consul …).
PEERS ?= 1
RELEASE := build/release
SOURCES = $(shell git ls-files --cached --others --exclude-standard '*.cpp' '*.h' | sort -u)

export PEERS

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: deps
deps:
	@tools/bootstrap.sh build

.PHONY: deps-test
deps-test:
	@tools/bootstrap.sh build test

.PHONY: build
build: deps ## Build the library, dpmesh and the examples (build/run)
	@cmake --preset release -DMESH_TESTS=OFF -DMESH_BENCH=OFF --log-level=WARNING -B build/run >/dev/null
	@cmake --build build/run -j $(JOBS)

.PHONY: run
run: build ## Start a whole mesh on this machine, with a demonstration; RUN_SECONDS=20 ends by itself
	@tools/demo.sh build/run

.PHONY: build-test
build-test: deps-test
	@cmake --preset release -DMESH_TESTS=ON -DMESH_BENCH=ON --log-level=WARNING >/dev/null
	@cmake --build $(RELEASE) -j $(JOBS)

.PHONY: test
test: lint build-test ## Everything: lint, format check, unit, scenario and conformance tests
	@ctest --preset release -j $(JOBS)

.PHONY: lint
lint: deps-test ## House rules, their tests, and the format check
	@python3 tools/lint_test.py
	@python3 tools/lint.py
	@python3 tools/check_docs_test.py
	@python3 tools/plot_balance_test.py
	@python3 tools/check_docs.py
	@clang-format-19 --dry-run --Werror $(SOURCES)

.PHONY: tidy
tidy: build-test ## clang-tidy over all sources (slow)
	@run-clang-tidy-19 -quiet -p $(RELEASE) -j $(JOBS) '^$(CURDIR)/src/.*\.cpp$$'

.PHONY: format
format: deps-test ## Rewrite all sources with clang-format
	@clang-format-19 -i $(SOURCES)

.PHONY: sanitize
sanitize: deps-test ## Unit tests with the second compiler (g++-12) under ASan and UBSan
	@cmake --preset gcc-asan --log-level=WARNING >/dev/null
	@cmake --build build/gcc-asan -j $(JOBS)
	@ctest --preset gcc-asan -j $(JOBS) -L unit

.PHONY: tsan
tsan: deps-test ## The tests that use threads, under ThreadSanitizer
	@cmake --preset tsan --log-level=WARNING >/dev/null
	@cmake --build build/tsan -j $(JOBS) --target core_test metrics_test resilience_test io_test policy_test mesh_test
	@tools/tsan.sh build/tsan

.PHONY: kills
kills: build-test ## 1,000 kills at any moment of store and registry, and a flip of every byte of the state
	@KILLS=1000 $(RELEASE)/store_test --gtest_filter='KillTest.*'
	@KILLS=1000 $(RELEASE)/registry_test --gtest_filter='EmbeddedKill.*'
	@FLIPS=1 TEST_TMPDIR=/dev/shm/ $(RELEASE)/store_test --gtest_filter='DamageTest.AFlippedBit*'

.PHONY: bench
bench: deps-test ## Measure against HAProxy, nginx and Consul, and the library against the clock
	@cmake --preset release -DMESH_TESTS=ON -DMESH_BENCH=ON --log-level=WARNING >/dev/null
	@cmake --build $(RELEASE) -j $(JOBS) --target dpmesh benches
	@bench/run.py --build $(RELEASE)
	@bench/http2.py --build $(RELEASE)
	@bench/edge.py --build $(RELEASE)
	@bench/idle.py --build $(RELEASE)
	@bench/reload.py --build $(RELEASE)
	@bench/registry.py --build $(RELEASE)

.PHONY: strictness
strictness: build-test ## Send malformed and odd requests through dpmesh, HAProxy and nginx
	@python3 bench/strictness.py --build $(RELEASE)

.PHONY: sim-balance
sim-balance: deps-test ## Compare the balancing algorithms in virtual time, beside an oracle; draws docs/plots
	@cmake --preset release -DMESH_TESTS=ON -DMESH_BENCH=ON --log-level=WARNING >/dev/null
	@cmake --build $(RELEASE) -j $(JOBS) --target sim_balance
	@$(RELEASE)/bench/sim_balance --csv $(RELEASE)/sim_balance.csv bench/balance/scenarios/*.txt
	@python3 tools/plot_balance.py $(RELEASE)/sim_balance.csv docs/plots

.PHONY: fuzz
fuzz: deps-test ## Run every fuzzer for FUZZ_SECONDS (30) each
	@cmake --preset fuzz --log-level=WARNING >/dev/null
	@cmake --build build/fuzz -j $(JOBS)
	@tools/fuzz.sh build/fuzz $${FUZZ_SECONDS:-30}

.PHONY: install
install: build ## Install under PREFIX (/usr/local)
	@cmake --install build/run --prefix $${PREFIX:-/usr/local}

.PHONY: clean
clean: ## Remove everything that was built
	@rm -rf build install

# What is done to ringway, by people and by CI. Needs GNU make and Rust; the real parts need Go, Python 3
# with venv, Node.js with npm, and Chromium.
#
# Expensive things (the real Collector, cargo-deny) are built once, outside the clone, in $(CACHE).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
# cargo uses every core by itself; one thing at a time keeps the output readable.
.NOTPARALLEL:

CARGO ?= cargo
export RINGWAY_CACHE ?= $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/ringway

DENY_VERSION := 0.20.2
DENY := $(RINGWAY_CACHE)/cargo-deny-$(DENY_VERSION)/bin/cargo-deny

# Seconds for each fuzz target.
FUZZ_SECONDS ?= 60

.PHONY: help dist test check fmt fmt-check clippy unit doc deny audit real-parts ring-vectors key-vectors e2e e2e-cluster fuzz bench bench-gateway

help: ## Say what can be made
	@sed -n 's/^\([a-z0-9-]*\):.*## /  \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

dist: ## Build the binary that is shipped: target/dist/ringway
	$(CARGO) build --locked --profile dist --bin ringway

# === Tests ===

test: check e2e ## Everything that must pass before a change lands: check, then e2e

check: fmt-check clippy unit doc deny ## Format, lints, tests inside the crate, documentation, dependencies

fmt: ## Format the code
	$(CARGO) fmt

fmt-check:
	$(CARGO) fmt --check

clippy:
	$(CARGO) clippy --locked --all-targets -- -D warnings

unit: ## Unit, property, golden, in-process and binary tests
	$(CARGO) test --locked

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps

deny: $(DENY) ## Licences, banned and doubled crates, sources
	$(DENY) --locked check licenses bans sources

audit: $(DENY) ## Known vulnerabilities in dependencies; asks the RustSec database
	$(DENY) --locked check advisories

# Unoptimised: it runs for a second, and an optimised build takes three times as long.
$(DENY):
	@echo "cargo-deny $(DENY_VERSION) is not in $(RINGWAY_CACHE): building it, once (some minutes)" >&2
	CARGO_TARGET_DIR="$(RINGWAY_CACHE)/cargo-deny-$(DENY_VERSION)/target" CARGO_PROFILE_DEV_DEBUG=0 \
		$(CARGO) install cargo-deny --version $(DENY_VERSION) --locked --debug --root "$(RINGWAY_CACHE)/cargo-deny-$(DENY_VERSION)"
	rm -rf "$(RINGWAY_CACHE)/cargo-deny-$(DENY_VERSION)/target"

# === Real parts ===

real-parts: ## Build the real Collector, telemetrygen and the SDKs, or find them in the cache
	tests/real/build.sh

ring-vectors: ## Compare the ring vectors with the ring code of real Collector releases
	tests/golden/ring/check.sh

key-vectors: ## Compare texts and hashes of attributes with the Collector's own code
	tests/golden/keys/check.sh

e2e: ring-vectors key-vectors ## ringway between real SDKs and real Collectors
	parts=$$(tests/real/build.sh) && RINGWAY_REAL_PARTS="$$parts" $(CARGO) test --locked --release --test real

# Built outside, run inside: nothing in there reaches a network.
e2e-cluster: ## ringway in a cluster: real etcd, API server and controllers; needs root
	parts=$$(tests/cluster/build.sh) && collector=$$(tests/real/build.sh) && \
	$(CARGO) test --locked --release --test cluster --no-run && \
	RINGWAY_CLUSTER_PARTS="$$parts" RINGWAY_REAL_PARTS="$$collector" \
		tests/cluster/namespace.sh $(CARGO) test --locked --offline --release --test cluster

# === Longer runs ===

BENCHES := $(patsubst benches/%.rs,%,$(wildcard benches/*.rs)) $(patsubst benches/%/main.rs,%,$(wildcard benches/*/main.rs))

fuzz: ## Run every fuzz target for FUZZ_SECONDS; needs cargo-fuzz and a nightly toolchain
	@command -v cargo-fuzz >/dev/null || { echo "fuzz: cargo-fuzz is missing: cargo install cargo-fuzz --locked" >&2; exit 1; }
	@[[ "$$(rustup toolchain list)" == *nightly* ]] || { echo "fuzz: a nightly toolchain is missing: rustup toolchain install nightly" >&2; exit 1; }
	targets=$$($(CARGO) +nightly fuzz list); \
	[ -n "$$targets" ] || { echo "fuzz: no targets" >&2; exit 1; }; \
	for target in $$targets; do \
		echo "== $$target"; \
		$(CARGO) +nightly fuzz run "$$target" -- -max_total_time=$(FUZZ_SECONDS); \
	done

bench: ## Measure the hot paths by themselves
	$(CARGO) bench --locked $(addprefix --bench ,$(filter-out gateway,$(BENCHES)))

bench-gateway: ## Measure ringway beside the real Collector, same load, one core each
	parts=$$(tests/real/build.sh) && RINGWAY_REAL_PARTS="$$parts" $(CARGO) bench --locked --bench gateway

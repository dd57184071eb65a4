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

.PHONY: help dist dist-static image-rootfs test test-aws check fmt fmt-check clippy unit doc deny audit real-parts ring-vectors key-vectors e2e e2e-cluster \
	chart-test goldens manifests image-test fuzz bench bench-gateway

help: ## Say what can be made
	@sed -n 's/^\([a-z0-9-]*\):.*## /  \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

dist: ## Build the binary that is shipped: target/dist/ringway
	$(CARGO) build --locked --profile dist --bin ringway

# Statically linked with the C library of the building machine, which carries its own name lookup since glibc 2.34: a musl target
# would need a second C toolchain. With --target the flag does not reach build scripts and macros.
STATIC_TARGET ?= $(shell rustc -vV | sed -n 's/^host: //p')
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
IMAGE_ROOTFS := $(TARGET_DIR)/image-rootfs

dist-static: ## Build the binary of the image, static: target/<host>/dist/ringway
	CARGO_PROFILE_DIST_STRIP=symbols RUSTFLAGS="$(RUSTFLAGS) -C target-feature=+crt-static" \
		$(CARGO) build --locked --profile dist --bin ringway --target $(STATIC_TARGET)

image-rootfs: dist-static ## Make the file system of the image, without a daemon: target/image-rootfs
	rm -rf $(IMAGE_ROOTFS)
	install -D -m 0755 $(TARGET_DIR)/$(STATIC_TARGET)/dist/ringway $(IMAGE_ROOTFS)/usr/bin/ringway
	install -D -m 0644 -t $(IMAGE_ROOTFS)/etc image/etc/*

# === Tests ===

test: check test-aws e2e e2e-cluster chart-test image-test ## Everything that must pass before a change lands

check: fmt-check clippy unit doc deny ## Format, lints, tests inside the crate, documentation, dependencies

fmt: ## Format the code
	$(CARGO) fmt

fmt-check:
	$(CARGO) fmt --check

clippy:
	$(CARGO) clippy --locked --all-targets -- -D warnings

unit: ## Unit, property, golden, in-process and binary tests
	$(CARGO) test --locked

# Only what the feature adds: everything else is the same code.
test-aws: ## Lints and tests of the feature `aws`
	$(CARGO) clippy --locked --features aws --lib --tests -- -D warnings
	$(CARGO) test --locked --features aws --lib -- cloud_map

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

real-parts: ## Build the real Collector, telemetrygen, the SDKs, Kubernetes, etcd and Helm, or find them in the cache
	tests/real/build.sh
	tests/cluster/build.sh

ring-vectors: ## Compare the ring vectors with the ring code of real Collector releases
	tests/golden/ring/check.sh

key-vectors: ## Compare texts and hashes of attributes with the Collector's own code
	tests/golden/keys/check.sh

e2e: ring-vectors key-vectors ## ringway between real SDKs and real Collectors
	parts=$$(tests/real/build.sh) && RINGWAY_REAL_PARTS="$$parts" $(CARGO) test --locked --release --test real

# Built outside, run inside: nothing in there reaches a network. Tests mostly wait for controllers, so there are more of them
# than cores.
e2e-cluster: ## ringway in a cluster: real etcd, API server and controllers; needs root
	parts=$$(tests/cluster/build.sh) && collector=$$(tests/real/build.sh) && \
	$(CARGO) test --locked --release --test cluster --no-run && \
	RINGWAY_CLUSTER_PARTS="$$parts" RINGWAY_REAL_PARTS="$$collector" \
		tests/cluster/namespace.sh $(CARGO) test --locked --offline --release --test cluster -- --test-threads 8

# === Chart, manifests, image ===

chart-test: ## The Helm chart: lint, goldens, schemas, refusals; the kustomize base; blocks of the documentation
	cluster=$$(tests/cluster/build.sh) && real=$$(tests/real/build.sh) && \
		RINGWAY_CLUSTER_PARTS="$$cluster" RINGWAY_REAL_PARTS="$$real" $(CARGO) test --locked --test chart

goldens: ## Write the chart's goldens, the table of its values and the kustomize base anew
	cluster=$$(tests/cluster/build.sh) && \
		RINGWAY_UPDATE_GOLDENS=1 RINGWAY_CLUSTER_PARTS="$$cluster" $(CARGO) test --locked --test chart -- goldens tables_of_values the_base

manifests: ## Write the kustomize base anew from the chart
	cluster=$$(tests/cluster/build.sh) && HELM="$$cluster/bin/helm" manifests/render.sh manifests

image-test: image-rootfs ## ringway in a chroot of the image's file system; needs root
	RINGWAY_IMAGE_ROOTFS="$(abspath $(IMAGE_ROOTFS))" $(CARGO) test --locked --test image

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

# `make run` shows everything once; `make help` lists the rest.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# A shell that started before rustup was installed does not know it yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

cargo_walkers := CARGO_TARGET_DIR=$(CURDIR)/target CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 cargo

.PHONY: help setup build dist walkers run serve test check chaos bench fuzz clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

setup:
	@scripts/setup

build: setup
	@echo '==> building the host (some minutes the first time)' >&2
	@# All binaries at once: chosen one by one, they would get dependencies with other features, built anew.
	@cargo build --release --locked --workspace --bins

dist: setup ## the host for production, optimised as a whole: target/dist/walker
	@echo '==> building the host for production (a quarter of an hour the first time)' >&2
	@cargo build --profile dist --locked --workspace --bins

walkers: build
	@echo '==> building the example walkers to WebAssembly (some minutes the first time)' >&2
	@target/release/walker build --path walkers >&2

run: walkers ## install what is missing, build everything, run a walker, show its result
	@scripts/demo

serve: walkers ## the same set-up, then serve on 127.0.0.1:8000 until Ctrl-C
	@scripts/serve

check: setup ## formatting, lints and documentation
	@echo '==> checking formatting, lints and documentation' >&2
	@cargo fmt --all --check
	@cargo fmt --all --check --manifest-path walkers/Cargo.toml
	@cargo fmt --check --manifest-path fuzz/Cargo.toml
	@# It is built by `make fuzz` only; that its lock file is still right shows here.
	@cargo metadata --format-version 1 --locked --manifest-path fuzz/Cargo.toml >/dev/null
	@cargo clippy --release --locked --workspace --all-targets -- -D warnings
	@$(cargo_walkers) clippy --release --locked --workspace --all-targets --manifest-path walkers/Cargo.toml -- -D warnings
	@RUSTDOCFLAGS=-Dwarnings cargo doc --release --locked --workspace --no-deps

test: check walkers ## everything that must hold before a change lands
	@echo '==> testing the example walkers, natively' >&2
	@$(cargo_walkers) test --release --locked --workspace --manifest-path walkers/Cargo.toml
	@echo '==> running make run and make serve, as the README says' >&2
	@scripts/try
	@echo '==> testing' >&2
	@cargo test --release --locked --workspace

chaos: walkers ## 300 kills of hosts and Postgres under load; CHAOS_SEED repeats a run, CHAOS_BESIDE=program adds hosts of another version
	@target/release/walker-chaos

bench: walkers dist ## speed of what `make dist` builds, as ratios to bare wasmtime and bare Postgres
	@target/dist/walker-bench

fuzz: ## feed the readers of untrusted input with nonsense, a minute each
	@scripts/setup fuzz
	@scripts/fuzz

clean: ## remove what was built; the data in .walker/ stays
	@rm -rf target walkers/target

# Nilometer. `make` alone lists what can be made.

# A checkout builds what Cargo.lock says, or fails.
CARGO_FLAGS ?= --locked
# Crash points are compiled into tests, never into what is run or measured. Adapters that are not part of the default
# build are tested as well.
TEST_FLAGS := --workspace --features nilometer/failpoints,nilometer/cluster
# Passed on to the program, as in: make run ARGS="--listen 127.0.0.1:9000"
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run test check audit bench fmt setup

help: ## Lists the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 16

run: setup ## Builds and starts the server on 127.0.0.1:8080, data in ./nilometer-data (ARGS="…" goes to `nilometer serve`)
	cargo run $(CARGO_FLAGS) --release --bin nilometer -- serve $(ARGS)

test: check ## Everything CI asks for: the checks, generated requests by the API's document, then all tests
	@scripts/setup.sh test
	cargo nextest run $(CARGO_FLAGS) $(TEST_FLAGS) --no-run
	@scripts/schemathesis.sh "$(abspath $(or $(CARGO_TARGET_DIR),target))/debug/nilometer"
	cargo nextest run $(CARGO_FLAGS) $(TEST_FLAGS)

check: setup ## Format, house rules, crate edges, lints; licences and sources when cargo-deny is there
	cargo fmt --all --check
	cargo xtask tidy
	cargo xtask layers
	cargo clippy $(CARGO_FLAGS) $(TEST_FLAGS) --all-targets -- -D warnings
	cargo clippy $(CARGO_FLAGS) --workspace -- -D warnings
	@if cargo deny --version >/dev/null 2>&1; then cargo deny check bans licenses sources; \
	else echo "check: licences and sources skipped, cargo-deny is not installed (cargo install --locked cargo-deny)"; fi

audit: ## Known vulnerabilities of the dependencies (needs cargo-deny and a network)
	cargo deny check advisories

bench: setup ## Measures this machine against the numbers the project promises (ARGS="…" goes to `nilometer bench`)
	cargo run $(CARGO_FLAGS) --release --bin nilometer -- bench $(or $(ARGS),all)

fmt: ## Formats all code
	cargo fmt --all

setup:
	@scripts/setup.sh

#!/usr/bin/env bash
# Makes a Debian or Ubuntu machine with Rust ready to build Nilometer. Installs only what is missing,
# says so before it does, and needs neither network nor root when nothing is.
#
#   scripts/setup.sh         what `make run` needs: a C compiler (SQLite, mimalloc and zstd are C) and curl
#   scripts/setup.sh test    also what `make test` needs: cargo-nextest, and libfaketime, which shifts the clock of a
#                            server, and Python's venv, which generates requests from the API's document; where these
#                            cannot be installed, what needs them says that it is skipped
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Built with --locked from crates.io; any other version that is already there is used as it is.
readonly NEXTEST_VERSION=0.9.143

say() { printf 'setup: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

install_packages() {
    has apt-get || fail "missing: $*; install them with this system's package manager, then try again"
    local as_root=()
    if [[ $(id -u) -ne 0 ]]; then
        has sudo || fail "missing: $*; install them as root: apt-get install $*"
        as_root=(sudo)
    fi
    say "installing with apt-get: $*"
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

check_rust() {
    has cargo || fail "Rust is missing; install it from https://rustup.rs, then try again"
    # With rustup, rust-toolchain.toml picks the compiler, and this line fetches it the first time.
    cargo --version >/dev/null || fail "the toolchain of rust-toolchain.toml cannot be started"
}

main() {
    local goal=${1:-run} packages=()
    [[ $goal == run || $goal == test ]] || fail "'$goal' is no goal; it is 'run' or 'test'"

    { has cc && has make; } || packages+=(build-essential)
    has curl || packages+=(curl ca-certificates)
    if [[ ${#packages[@]} -gt 0 ]]; then
        install_packages "${packages[@]}"
    fi

    if [[ $goal == test ]] && ! compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null; then
        (install_packages faketime) || say "without libfaketime the tests with a clock that jumps are skipped"
    fi
    if [[ $goal == test ]] && ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
        (install_packages python3-venv) || say "without Python's venv no requests are generated from the API's document"
    fi
    check_rust
    if [[ $goal == test ]] && ! cargo nextest --version >/dev/null 2>&1; then
        say "building cargo-nextest $NEXTEST_VERSION; this takes some minutes, once"
        env -u CARGO_TARGET_DIR cargo install --locked cargo-nextest --version "$NEXTEST_VERSION"
    fi
}

main "$@"

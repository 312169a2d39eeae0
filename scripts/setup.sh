#!/usr/bin/env bash
# Makes a Debian or Ubuntu machine with Rust ready to build Nilometer. Installs only what is missing,
# says so before it does, and needs neither network nor root when nothing is.
#
#   scripts/setup.sh         what `make run` needs: a C compiler (SQLite, mimalloc and zstd are C) and curl
#   scripts/setup.sh test    also what `make test` needs: cargo-nextest, and libfaketime, which shifts the clock of a
#                            server, Python's venv, which generates requests from the API's document, and the
#                            servers that tests start themselves; where these cannot be installed, what needs them
#                            says that it is skipped
#
# Outside CI (CI=true) a person at the terminal is asked before servers are installed. None of them is started or
# enabled by this, PostgreSQL makes no cluster, and no server that runs is touched.
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

as_root() { if [[ $(id -u) -eq 0 ]]; then "$@"; else sudo "$@"; fi; }

install_packages() {
    has apt-get || fail "missing: $*; install them with this system's package manager, then try again"
    [[ $(id -u) -eq 0 ]] || has sudo || fail "missing: $*; install them as root: apt-get install $*"
    say "installing with apt-get: $*"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

# Whether a person wants these packages; nobody has to be asked in CI.
wanted() {
    [[ ${CI:-} != true ]] || return 0
    if [[ ! -t 0 || ! -t 2 ]]; then
        say "missing, so tests that start them are skipped: $*; at a terminal scripts/setup.sh test offers to install them"
        return 1
    fi
    local answer
    read -r -p "setup: tests start servers of their own; install $* with apt-get, neither started nor enabled? [y/N] " answer
    [[ $answer == [yY]* ]]
}

# While these two files are there, apt starts and stops no server, and PostgreSQL makes no cluster of the system.
readonly POLICY=/usr/sbin/policy-rc.d NO_CLUSTER=/etc/postgresql-common/createcluster.d/nilometer-setup.conf

# Whether apt may be kept from starting servers; a policy of this machine's own stays as it is.
can_hold_back() {
    local code=0
    [[ -e $POLICY ]] || return 0
    "$POLICY" postgresql start || code=$?
    [[ $code -eq 101 ]]
}

# In a subshell, so that its traps are its own.
install_servers() (
    made=("$NO_CLUSTER")
    clean_up() {
        as_root rm -f "${made[@]}"
        as_root rmdir --ignore-fail-on-non-empty "${NO_CLUSTER%/*}"
    }
    trap clean_up EXIT
    trap 'exit 1' INT TERM HUP
    as_root mkdir -p "${NO_CLUSTER%/*}"
    echo 'create_main_cluster = false' | as_root tee "$NO_CLUSTER" >/dev/null
    if [[ ! -e $POLICY ]]; then
        made+=("$POLICY")
        printf '#!/bin/sh\n# Of scripts/setup.sh of Nilometer while it runs; else delete it.\nexit 101\n' |
            as_root tee "$POLICY" >/dev/null
        as_root chmod 755 "$POLICY"
    fi
    mapfile -t units < <(new_units "$@")
    for package in "$@"; do
        # One by one: not every release has all of them.
        (install_packages "$package") || say "without $package the tests that start it are skipped, and fail in CI"
    done
    # A start of the machine starts none of them either.
    for unit in "${units[@]}"; do
        [[ ! -e /etc/init.d/$unit ]] || as_root update-rc.d "$unit" disable
        ! has systemctl || as_root systemctl disable --quiet "$unit" 2>/dev/null || true
    done
)

# The services that these packages bring and that are not there yet.
new_units() {
    local unit
    for unit in "$@" epmd.socket epmd.service; do
        [[ -e /etc/init.d/$unit || -e /lib/systemd/system/$unit || -e /lib/systemd/system/$unit.service ]] || echo "$unit"
    done
}

missing_servers() {
    compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || has postgres || echo postgresql
    has nats-server || [[ -x /usr/sbin/nats-server ]] || echo nats-server
    has redis-server || echo redis-server
    [[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]] || has rabbitmqctl || echo rabbitmq-server
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
    if [[ $goal == test ]]; then
        mapfile -t packages < <(missing_servers)
        if [[ ${#packages[@]} -gt 0 ]] && wanted "${packages[@]}"; then
            if can_hold_back && has apt-get && { [[ $(id -u) -eq 0 ]] || has sudo; }; then
                install_servers "${packages[@]}"
            else
                say "cannot install without starting them, so tests that start them are skipped: ${packages[*]}"
            fi
        fi
    fi
    check_rust
    if [[ $goal == test ]] && ! cargo nextest --version >/dev/null 2>&1; then
        say "building cargo-nextest $NEXTEST_VERSION; this takes some minutes, once"
        env -u CARGO_TARGET_DIR cargo install --locked cargo-nextest --version "$NEXTEST_VERSION"
    fi
}

main "$@"

#!/usr/bin/env bash
# Tests a server against its own OpenAPI document: what Schemathesis generates from it must be answered as it says,
# and generated events must be taken. Bounded in cases and time. Needs Python with venv; where that, or the package
# index, is missing, it says so and ends well.
#
#   scripts/schemathesis.sh BINARY
set -euo pipefail
readonly BINARY=${1:?the nilometer to test}
readonly HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")/schemathesis" && pwd)"
readonly EXAMPLES=15
readonly ENVIRONMENT="${XDG_CACHE_HOME:-$HOME/.cache}/nilometer/schemathesis"

say() { printf 'schemathesis: %s\n' "$*" >&2; }
skip() {
    say "skipped: $*"
    exit 0
}

python3 -c 'import venv, ensurepip' 2>/dev/null || skip "Python 3 with venv is missing (apt-get install python3-venv)"
if ! cmp -s "$HERE/requirements.txt" "$ENVIRONMENT/requirements.txt"; then
    say "installing into $ENVIRONMENT, once"
    rm -rf "$ENVIRONMENT"
    python3 -m venv "$ENVIRONMENT"
    timeout 300 "$ENVIRONMENT/bin/pip" install --quiet --disable-pip-version-check -r "$HERE/requirements.txt" ||
        { rm -rf "$ENVIRONMENT"; skip "its packages cannot be installed"; }
    cp "$HERE/requirements.txt" "$ENVIRONMENT/"
fi

# What it keeps of its own goes with the folder.
data=$(mktemp -d)
cd "$data"
"$BINARY" serve --data "$data/folder" --listen 127.0.0.1:0 --log-format human --types-max 1000000 --endpoints-max 1000000 \
    --models-max 1000000 --projects-max 1000000 2>"$data/log" &
server=$!
trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; rm -rf "$data"' EXIT
url=
for _ in $(seq 150); do
    url=$(sed -n 's#.*listening on \(http://[0-9.:]*\).*#\1#p' "$data/log")
    [[ -n $url ]] && break
    kill -0 "$server" 2>/dev/null || { cat "$data/log" >&2; exit 1; }
    sleep 0.2
done

run() {
    PYTHONPATH="$HERE" PYTHONDONTWRITEBYTECODE=1 SCHEMATHESIS_HOOKS=hooks "$ENVIRONMENT/bin/python" -m schemathesis.cli run "$url/openapi.json" \
        --seed 1 --workers 2 --request-timeout 30 --max-failures 20 --no-color "$@"
}
# First, since the other changes settings as well.
say "generated events are taken"
run --phases fuzzing --mode positive --max-examples 200 --checks positive_data_acceptance,not_a_server_error \
    --include-operation-id take_events
say "answers are what the document says"
run --phases examples,coverage,fuzzing --max-examples "$EXAMPLES" --exclude-path-regex '/stream|/ws' \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance
kill -0 "$server" || { say "the server ended"; exit 1; }

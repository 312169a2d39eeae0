# Runs RabbitMQ with a port mapper of its own, which ends with it. Started by crate testservers as
# `sh -c SCRIPT SERVER`, with the ports in the environment.
set -u
command -v epmd || exit 1
epmd -address 127.0.0.1 -port "$ERL_EPMD_PORT" &
mapper=$!
until epmd -port "$ERL_EPMD_PORT" -names >/dev/null 2>&1; do sleep 0.05; done
"$0"
kill "$mapper"

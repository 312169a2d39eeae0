"""Moves the times of generated events into what the server takes.

A schema cannot say "at most two minutes ahead", so a generated time is moved back to the present, in its unit.
Everything else is sent as it was generated.
"""

import time

import schemathesis

EARLIEST_S = 315_619_200
# Generated members may be written nearly as a field is, which a schema cannot forbid.
NEAR = {"idempotency-key", "Idempotency-Key"}
UNITS = ((10**11, 1), (10**14, 10**3), (10**17, 10**6), (10**20, 10**9))


def moved(value):
    if isinstance(value, str):
        return "2026-01-01T00:00:00Z"
    if isinstance(value, int):
        for bound, per_second in UNITS:
            if abs(value) < bound:
                return min(max(value, EARLIEST_S * per_second), int(time.time()) * per_second)
    return value


@schemathesis.hook
def map_body(context, body):
    events = body.get("events", body) if isinstance(body, dict) else body
    for event in events if isinstance(events, list) else [events]:
        if isinstance(event, dict):
            # To a schema 7.0 is an integer; a name of a user is one only as 7.
            event.update({name: int(value) for name, value in event.items() if isinstance(value, float) and value.is_integer()})
            for name in NEAR & event.keys():
                event.pop(name)
        if isinstance(event, dict) and "time" in event:
            event["time"] = moved(event["time"])
    return body


@schemathesis.hook
def map_query(context, query):
    # A strict request refuses what a schema cannot tell from what is meant.
    if isinstance(query, dict):
        query.pop("strict", None)
    return query


@schemathesis.hook
def map_headers(context, headers):
    # A generated key comes again with another body, which is refused on purpose.
    if headers:
        for name in [name for name in headers if name.lower() == "idempotency-key"]:
            headers.pop(name)
    return headers

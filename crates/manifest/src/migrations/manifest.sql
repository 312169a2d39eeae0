CREATE TABLE meta (
    id                 INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    format             INTEGER NOT NULL,
    secret_key         BLOB    NOT NULL CHECK (length(secret_key) = 16),
    window_sec         INTEGER NOT NULL CHECK (window_sec > 0),
    grace_sec          INTEGER NOT NULL CHECK (grace_sec >= 0),
    cursor             INTEGER NOT NULL CHECK (cursor >= 0),
    closed_through_us  INTEGER NOT NULL,
    retention_floor_us INTEGER NOT NULL,
    seal               INTEGER NOT NULL
) STRICT;

CREATE TABLE segment (
    id          TEXT    NOT NULL PRIMARY KEY,
    level       INTEGER NOT NULL CHECK (level >= 0),
    first_seq   INTEGER NOT NULL CHECK (first_seq >= 0),
    last_seq    INTEGER NOT NULL CHECK (last_seq >= 0),
    time_min_us INTEGER NOT NULL,
    time_max_us INTEGER NOT NULL,
    seal        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE segment_file (
    segment_id TEXT    NOT NULL REFERENCES segment (id) ON DELETE CASCADE,
    kind       TEXT    NOT NULL CHECK (kind IN ('events', 'windows', 'ids')),
    name       TEXT    NOT NULL,
    bytes      INTEGER NOT NULL CHECK (bytes >= 0),
    blake3     BLOB    NOT NULL CHECK (length(blake3) = 32),
    rows       INTEGER NOT NULL CHECK (rows >= 0),
    PRIMARY KEY (segment_id, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE hourly_rollup (
    tenant        TEXT    NOT NULL,
    project       TEXT    NOT NULL,
    kind          TEXT    NOT NULL,
    hour_us       INTEGER NOT NULL,
    calls         INTEGER NOT NULL CHECK (calls >= 0),
    tokens        INTEGER NOT NULL CHECK (tokens >= 0),
    input_tokens  INTEGER NOT NULL CHECK (input_tokens >= 0),
    output_tokens INTEGER NOT NULL CHECK (output_tokens >= 0),
    latency_us    INTEGER NOT NULL CHECK (latency_us >= 0),
    latency_calls INTEGER NOT NULL CHECK (latency_calls >= 0),
    late          INTEGER NOT NULL CHECK (late >= 0),
    PRIMARY KEY (tenant, project, kind, hour_us)
) STRICT, WITHOUT ROWID;

CREATE INDEX hourly_rollup_by_hour ON hourly_rollup (tenant, hour_us);

CREATE TABLE name (
    tenant    TEXT NOT NULL,
    dimension TEXT NOT NULL CHECK (dimension IN ('type', 'endpoint', 'model', 'project')),
    name      TEXT NOT NULL,
    PRIMARY KEY (tenant, dimension, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE dead_letter (
    seq          INTEGER NOT NULL PRIMARY KEY,
    tenant       TEXT,
    reason       TEXT    NOT NULL,
    buried_at_us INTEGER NOT NULL,
    payload      BLOB    NOT NULL
) STRICT;

CREATE TABLE daily_rollup (
    tenant        TEXT    NOT NULL,
    project       TEXT    NOT NULL,
    kind          TEXT    NOT NULL,
    day_us        INTEGER NOT NULL,
    calls         INTEGER NOT NULL CHECK (calls >= 0),
    tokens        INTEGER NOT NULL CHECK (tokens >= 0),
    input_tokens  INTEGER NOT NULL CHECK (input_tokens >= 0),
    output_tokens INTEGER NOT NULL CHECK (output_tokens >= 0),
    latency_us    INTEGER NOT NULL CHECK (latency_us >= 0),
    latency_calls INTEGER NOT NULL CHECK (latency_calls >= 0),
    late          INTEGER NOT NULL CHECK (late >= 0),
    PRIMARY KEY (tenant, project, kind, day_us)
) STRICT, WITHOUT ROWID;

CREATE TABLE tenant_users (
    tenant TEXT    NOT NULL PRIMARY KEY,
    users  INTEGER NOT NULL CHECK (users BETWEEN 0 AND 4294967295),
    zone   TEXT,
    seal   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE user_page (
    tenant TEXT    NOT NULL,
    page   INTEGER NOT NULL CHECK (page >= 0),
    seal   INTEGER NOT NULL,
    names  BLOB    NOT NULL,
    PRIMARY KEY (tenant, page)
) STRICT;

CREATE TABLE activity (
    tenant   TEXT    NOT NULL,
    audience TEXT    NOT NULL CHECK (audience IN ('all', 'project', 'type')),
    name     TEXT    NOT NULL CHECK (audience <> 'all' OR name = ''),
    day      INTEGER NOT NULL,
    seal     INTEGER NOT NULL,
    users    BLOB    NOT NULL,
    PRIMARY KEY (tenant, audience, name, day)
) STRICT;

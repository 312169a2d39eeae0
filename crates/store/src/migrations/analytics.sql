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

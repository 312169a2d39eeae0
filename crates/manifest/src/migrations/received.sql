CREATE TABLE received (
    tenant     TEXT    NOT NULL,
    quarter_us INTEGER NOT NULL,
    customer   TEXT    NOT NULL,
    events     INTEGER NOT NULL CHECK (events >= 0),
    tokens     INTEGER NOT NULL CHECK (tokens >= 0),
    calls      INTEGER NOT NULL CHECK (calls >= 0),
    PRIMARY KEY (tenant, quarter_us, customer)
) STRICT, WITHOUT ROWID;

CREATE TABLE metered_customer (
    tenant   TEXT    NOT NULL,
    customer TEXT    NOT NULL,
    seal     INTEGER NOT NULL,
    PRIMARY KEY (tenant, customer)
) STRICT, WITHOUT ROWID;

CREATE TABLE received_after (
    id  INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL CHECK (seq >= 0)
) STRICT;

INSERT INTO received_after (id, seq) SELECT 1, cursor FROM meta;

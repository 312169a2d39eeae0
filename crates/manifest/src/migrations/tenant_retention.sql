CREATE TABLE tenant_retention (
    tenant        TEXT    NOT NULL PRIMARY KEY,
    floor_us      INTEGER NOT NULL,
    wait_floor_us INTEGER NOT NULL,
    waited_us     INTEGER NOT NULL CHECK (waited_us >= 0),
    seal          INTEGER NOT NULL
) STRICT;

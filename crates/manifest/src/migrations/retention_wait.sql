CREATE TABLE retention_wait (
    id        INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    floor_us  INTEGER NOT NULL,
    waited_us INTEGER NOT NULL CHECK (waited_us >= 0),
    seal      INTEGER NOT NULL
) STRICT;

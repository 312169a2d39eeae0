CREATE TABLE segment_file_with_residuals (
    segment_id TEXT    NOT NULL REFERENCES segment (id) ON DELETE CASCADE,
    kind       TEXT    NOT NULL CHECK (kind IN ('events', 'windows', 'ids', 'residuals')),
    name       TEXT    NOT NULL,
    bytes      INTEGER NOT NULL CHECK (bytes >= 0),
    blake3     BLOB    NOT NULL CHECK (length(blake3) = 32),
    rows       INTEGER NOT NULL CHECK (rows >= 0),
    PRIMARY KEY (segment_id, kind)
) STRICT, WITHOUT ROWID;

INSERT INTO segment_file_with_residuals (segment_id, kind, name, bytes, blake3, rows)
SELECT segment_id, kind, name, bytes, blake3, rows FROM segment_file;

DROP TABLE segment_file;

ALTER TABLE segment_file_with_residuals RENAME TO segment_file;

CREATE TABLE erased_activity (
    tenant   TEXT    NOT NULL,
    audience TEXT    NOT NULL CHECK (audience IN ('all', 'project', 'type')),
    name     TEXT    NOT NULL CHECK (audience <> 'all' OR name = ''),
    day      INTEGER NOT NULL,
    seal     INTEGER NOT NULL,
    users    BLOB    NOT NULL,
    PRIMARY KEY (tenant, audience, name, day)
) STRICT;

CREATE TABLE erasure (
    number          INTEGER NOT NULL PRIMARY KEY,
    id              TEXT    NOT NULL UNIQUE,
    tenant          TEXT    NOT NULL,
    kind            TEXT    NOT NULL CHECK (kind IN ('user', 'customer', 'workspace')),
    subject         TEXT,
    subject_hash    BLOB    NOT NULL CHECK (length(subject_hash) = 16),
    blocks          INTEGER NOT NULL CHECK (blocks IN (0, 1)),
    through_seq     INTEGER NOT NULL CHECK (through_seq >= 0),
    requested_at_us INTEGER NOT NULL,
    requested_by    TEXT    NOT NULL,
    zone            TEXT    NOT NULL,
    finished_at_us  INTEGER,
    events          INTEGER NOT NULL CHECK (events >= 0),
    segments        INTEGER NOT NULL CHECK (segments >= 0),
    users           INTEGER NOT NULL CHECK (users >= 0),
    dead_letters    INTEGER NOT NULL CHECK (dead_letters >= 0),
    seal            INTEGER NOT NULL
) STRICT;

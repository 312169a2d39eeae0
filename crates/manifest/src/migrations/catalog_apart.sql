DROP TABLE tenant;
DROP TABLE tenant_settings;
DROP TABLE reference_table;

ALTER TABLE dead_letter RENAME COLUMN buried_at_us TO dead_lettered_at_us;

ALTER TABLE tenant_users ADD COLUMN zone_version INTEGER NOT NULL DEFAULT 0 CHECK (zone_version >= 0);
UPDATE tenant_users SET zone_version = 1 WHERE zone IS NOT NULL;

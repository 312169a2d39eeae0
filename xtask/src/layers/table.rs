//! The allowed crate edges. Changing a line here takes a decision record.

/// Where this table is.
pub(super) const PATH: &str = "xtask/src/layers/table.rs";

/// What one crate of the workspace may depend on.
pub(super) struct Layer {
    /// The crate.
    pub(super) name: &'static str,
    /// Other crates its code may use.
    pub(super) uses: &'static [&'static str],
    /// Other crates only its tests may use, besides those of `uses`.
    pub(super) tests_use: &'static [&'static str],
}

/// Libraries that few crates may use.
pub(super) struct Owned {
    /// The names, each standing for itself and for `name-…`.
    pub(super) families: &'static [&'static str],
    /// Who may.
    pub(super) users: &'static [&'static str],
    /// Whether the tests of all other crates may too.
    pub(super) free_in_tests: bool,
    /// Why no one else.
    pub(super) reason: &'static str,
}

/// All crates, in the order of the dependency chain.
pub(super) const LAYERS: [Layer; 21] = [
    Layer { name: "domain", uses: &[], tests_use: &[] },
    Layer { name: "wire", uses: &["domain"], tests_use: &[] },
    Layer { name: "ports", uses: &["domain"], tests_use: &[] },
    Layer { name: "vfs", uses: &[], tests_use: &[] },
    Layer { name: "journal", uses: &["domain", "ports", "vfs"], tests_use: &[] },
    Layer { name: "sqlite", uses: &["domain", "ports"], tests_use: &[] },
    Layer { name: "manifest", uses: &["domain", "ports", "sqlite"], tests_use: &[] },
    Layer { name: "postgres", uses: &["domain", "ports"], tests_use: &[] },
    Layer {
        name: "catalog",
        uses: &["domain", "ports", "sqlite", "postgres"],
        tests_use: &["manifest", "testservers"],
    },
    Layer { name: "access", uses: &["domain", "ports"], tests_use: &[] },
    Layer { name: "live", uses: &["domain", "ports"], tests_use: &[] },
    Layer { name: "ledger-embedded", uses: &["domain", "ports", "vfs"], tests_use: &["journal", "manifest"] },
    Layer { name: "ledger-postgres", uses: &["domain", "ports", "postgres"], tests_use: &["testservers"] },
    Layer {
        name: "pipeline",
        uses: &["domain", "wire", "ports"],
        tests_use: &["vfs", "journal", "manifest", "live", "ledger-embedded"],
    },
    Layer {
        name: "api",
        uses: &["domain", "ports", "access", "pipeline"],
        tests_use: &["wire", "vfs", "journal", "manifest", "live", "ledger-embedded"],
    },
    Layer { name: "clock", uses: &["domain", "ports"], tests_use: &[] },
    Layer { name: "bench", uses: &["domain", "ports", "clock"], tests_use: &[] },
    Layer {
        name: "nilometer",
        uses: &[
            "domain",
            "wire",
            "ports",
            "access",
            "vfs",
            "journal",
            "manifest",
            "catalog",
            "live",
            "ledger-embedded",
            "ledger-postgres",
            "postgres",
            "pipeline",
            "api",
            "clock",
            "bench",
        ],
        tests_use: &["sim", "testservers"],
    },
    Layer { name: "sim", uses: &["domain", "ports", "pipeline", "vfs"], tests_use: &["journal", "ledger-embedded"] },
    Layer { name: "testservers", uses: &[], tests_use: &[] },
    Layer { name: "xtask", uses: &[], tests_use: &[] },
];

/// All libraries with an owner.
pub(super) const OWNED: [Owned; 8] = [
    Owned {
        families: &["arrow", "parquet", "datafusion"],
        users: &["ledger-embedded"],
        free_in_tests: false,
        reason: "whatever links them is slow to build and large, and the segment format has one home",
    },
    Owned {
        families: &["sea-orm", "sea-query", "sqlx", "rusqlite", "libsqlite3-sys"],
        users: &["sqlite", "manifest", "postgres", "catalog", "ledger-postgres"],
        free_in_tests: false,
        reason: "SQL has one home; go through a port",
    },
    Owned {
        families: &["clap"],
        users: &["bench", "nilometer"],
        free_in_tests: false,
        reason: "only programs have a command line; take values",
    },
    Owned {
        families: &["axum", "hyper", "tower", "tower-http", "utoipa"],
        users: &["api", "nilometer"],
        free_in_tests: false,
        reason: "what is below the routes knows no HTTP server",
    },
    Owned {
        families: &["rustls", "hyper-rustls", "tokio-rustls"],
        users: &["api", "nilometer"],
        free_in_tests: false,
        reason: "TLS has two homes: the accept loop, and the client of a running server",
    },
    Owned {
        families: &["argon2", "jsonwebtoken", "aes", "aes-gcm-siv"],
        users: &["access"],
        free_in_tests: false,
        reason: "passwords, tokens and wrapped secrets have one home",
    },
    Owned {
        families: &["flate2", "zstd"],
        users: &["wire"],
        free_in_tests: true,
        reason: "decompression has its limits in one place",
    },
    Owned {
        families: &["anyhow"],
        users: &["bench", "nilometer", "xtask"],
        free_in_tests: true,
        reason: "a library's error has one variant per decision of its caller; use thiserror",
    },
];

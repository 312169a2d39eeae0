//! The journal's limits.

/// How large things may grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalOptions {
    /// Bytes after which a new segment file is begun.
    pub segment_bytes: u64,
    /// Most bytes made durable by one sync; one record may be larger.
    pub group_bytes_max: usize,
    /// Most bytes that wait to be written or to be applied; above it appends are refused.
    pub backlog_bytes_max: usize,
    /// Bytes of the disk left alone: below it appends are refused. After a start the first append needs room
    /// for one segment more.
    pub reserve_bytes: u64,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            group_bytes_max: 4 << 20,
            backlog_bytes_max: 64 << 20,
            reserve_bytes: 128 << 20,
        }
    }
}

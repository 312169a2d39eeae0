//! The reject file: one JSON object per refused row. It can be cut back to what a checkpoint knew of
//! it, so that a row refused before a crash stands in it once.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use anyhow::Context;
use domain::limits::REJECT_RAW_BYTES_MAX;
use domain::rejection::Rejection;
use serde::Serialize;
use vfs::{UserFilesVfs, Vfs, WriteFile};

/// Bytes gathered before they are handed to the file.
const BUFFER_BYTES: usize = 64 << 10;

/// A refused row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Reject {
    /// The line it begins on, from 1.
    pub(super) line: u64,
    /// The reason for programs.
    pub(super) code: Cow<'static, str>,
    /// The field or column that is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) field: Option<String>,
    /// The reason for people.
    pub(super) message: String,
    /// The beginning of the row.
    raw: String,
}

impl Reject {
    /// The row `raw` on line `line`, refused for `why`.
    pub(crate) fn new(line: u64, why: &Rejection, raw: &[u8]) -> Self {
        Self::from_server(line, Cow::Borrowed(why.code.as_str()), why.field.clone(), why.message.clone(), raw)
    }

    /// The row `raw` on line `line`, refused by a server for the reason `code` and `message`.
    pub(crate) fn from_server(
        line: u64,
        code: Cow<'static, str>,
        field: Option<String>,
        message: String,
        raw: &[u8],
    ) -> Self {
        let raw = &raw[..raw.len().min(REJECT_RAW_BYTES_MAX)];
        Self { line, code, field, message, raw: String::from_utf8_lossy(raw).into_owned() }
    }
}

impl std::fmt::Display for Reject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.field {
            Some(field) => write!(f, "line {}: {}: {field}: {}", self.line, self.code, self.message),
            None => write!(f, "line {}: {}: {}", self.line, self.code, self.message),
        }
    }
}

/// The file they are written to.
#[derive(Debug)]
pub(super) struct RejectFile {
    path: PathBuf,
    file: Box<dyn WriteFile>,
    buffer: Vec<u8>,
}

#[derive(Serialize)]
struct Line<'r> {
    file: &'r str,
    #[serde(flatten)]
    reject: &'r Reject,
}

impl RejectFile {
    /// Opens the file at `path`, keeping its first `keep` bytes, or none of an older one.
    pub(super) fn open(path: &Path, keep: Option<u64>) -> anyhow::Result<Self> {
        let failed = || format!("failed to open the reject file {}", path.display());
        let mut file = if path.exists() { UserFilesVfs.open_append(path) } else { UserFilesVfs.create(path) }
            .with_context(failed)?;
        let keep = keep.unwrap_or(0).min(file.len());
        if keep < file.len() {
            file.truncate(keep).with_context(failed)?;
        }
        Ok(Self { path: path.to_owned(), file, buffer: Vec::new() })
    }

    /// Adds rows of `file`.
    pub(super) fn push(&mut self, file: &str, rejects: &[Reject]) -> anyhow::Result<()> {
        for reject in rejects {
            serde_json::to_writer(&mut self.buffer, &Line { file, reject })?;
            self.buffer.push(b'\n');
        }
        if self.buffer.len() >= BUFFER_BYTES { self.hand_over() } else { Ok(()) }
    }

    /// Makes everything durable; returns the length of the file.
    pub(super) fn sync(&mut self) -> anyhow::Result<u64> {
        self.hand_over()?;
        self.file.sync().with_context(|| format!("failed to write {}", self.path.display()))?;
        Ok(self.file.len())
    }

    fn hand_over(&mut self) -> anyhow::Result<()> {
        if !self.buffer.is_empty() {
            self.file.append(&self.buffer).with_context(|| format!("failed to write {}", self.path.display()))?;
            self.buffer.clear();
        }
        Ok(())
    }
}

//! The files of an import: what each is, where its reading begins, and the reading of one after the other.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use anyhow::{Context, bail, ensure};
use domain::limits::Limits;

use super::batcher::{Batcher, Packer};
use super::input_reader::{FilePosition, InputReader};
use super::options::TableOptions;
use super::rows::{EmptyFile, fill};
use super::{csv_rows, foreign, lines, table};

/// The name that stands for standard input.
const STDIN: &str = "-";
/// Bytes at the front of a file that tell it from another one of the same name and length.
const HEAD_BYTES: u64 = 64 << 10;

/// The form of a file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A table with a header
    Csv,
    /// One JSON object per line
    Ndjson,
    /// Parquet
    Parquet,
}

/// One file.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    /// As the command line has it.
    pub(crate) name: String,
    /// `None` for standard input.
    path: Option<PathBuf>,
    /// As it stands on disk; `None` when that cannot be known.
    bytes: Option<u64>,
    /// Names the content in a checkpoint; `None` for content that cannot be resumed.
    pub(crate) identity: Option<String>,
    /// Where to begin.
    pub(crate) from: FilePosition,
}

/// How all files are read.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) inputs: Vec<Input>,
    pub(crate) format: Option<Format>,
    pub(crate) tables: TableOptions,
    pub(crate) limits: Limits,
    /// Bytes read so far, as they stand on disk.
    pub(crate) meter: Arc<AtomicU64>,
}

/// Gives rows to a batcher.
pub(crate) trait RowSource: Send + 'static {
    /// Gives all rows to `batcher`.
    ///
    /// # Errors
    /// When something other than a row is wrong; the rows before it were given.
    fn read_into<P: Packer>(self, batcher: &mut Batcher<'_, P>) -> anyhow::Result<()>;
}

impl Input {
    /// The file called `name`; `purpose` tells imports of the same file apart that may differ.
    pub(crate) fn find(name: &str, purpose: &str) -> anyhow::Result<Self> {
        if name == STDIN {
            let input =
                Self { name: name.to_owned(), path: None, bytes: None, identity: None, from: FilePosition::default() };
            return Ok(input);
        }
        let found = || -> io::Result<_> {
            let path = Path::new(name).canonicalize()?;
            let file = File::open(&path)?;
            let about = file.metadata()?;
            if about.is_dir() {
                return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a folder"));
            }
            // Pipes and devices give other bytes every time.
            let identity = if about.is_file() { Some(identity(&path, &about, file, purpose)?) } else { None };
            Ok((path, about.is_file().then_some(about.len()), identity))
        };
        let (path, bytes, identity) = found().with_context(|| format!("failed to open {name}"))?;
        Ok(Self { name: name.to_owned(), path: Some(path), bytes, identity, from: FilePosition::default() })
    }
}

fn identity(path: &Path, about: &std::fs::Metadata, file: File, purpose: &str) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    // A file that was changed in place is another one, however little.
    let changed = about.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let changed = changed.as_nanos().to_le_bytes();
    for part in [purpose.as_bytes(), path.as_os_str().as_encoded_bytes(), &about.len().to_le_bytes(), &changed] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut head = Vec::new();
    #[expect(clippy::disallowed_methods, reason = "bounded by the take")]
    file.take(HEAD_BYTES).read_to_end(&mut head)?;
    hasher.update(&head);
    Ok(hasher.finalize().to_hex().to_string())
}

impl Reading {
    /// The bytes of all files, if each has a length.
    pub(crate) fn bytes(&self) -> Option<u64> {
        self.inputs.iter().map(|input| input.bytes).sum()
    }
}

impl RowSource for Reading {
    fn read_into<P: Packer>(self, batcher: &mut Batcher<'_, P>) -> anyhow::Result<()> {
        for (number, input) in self.inputs.iter().enumerate() {
            batcher.begin(number, input.from);
            let read = self.read(input, batcher);
            // What stands before the fault counts.
            batcher.end()?;
            read.with_context(|| format!("failed to read {}", input.name))?;
        }
        Ok(())
    }
}

impl Reading {
    fn read<P: Packer>(&self, input: &Input, batcher: &mut Batcher<'_, P>) -> anyhow::Result<()> {
        if let Some(path) = input.path.as_deref().filter(|path| self.is_parquet(path)) {
            let read = table::read_parquet(path, input.from, &self.tables, &self.limits, batcher);
            self.meter.fetch_add(input.bytes.unwrap_or(0), Ordering::Relaxed);
            return read;
        }
        let source: Box<dyn Read + Send> = match &input.path {
            Some(path) => Box::new(File::open(path)?),
            None => Box::new(io::stdin()),
        };
        let mut content = InputReader::new(wire::inflate(Metered { source, meter: Arc::clone(&self.meter) })?);
        fill(&mut content)?;
        match self.format_of(input, content.bytes())? {
            Format::Csv => csv_rows::read_csv(&mut content, input.from, &self.tables, &self.limits, batcher),
            Format::Ndjson => lines::read_lines(&mut content, input.from, &self.limits, batcher),
            Format::Parquet => bail!("Parquet must be a file of its own, neither compressed nor standard input"),
        }
    }

    fn is_parquet(&self, path: &Path) -> bool {
        let mut magic = [0; 4];
        let begins = File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok();
        begins && magic == table::MAGIC && self.format.is_none_or(|format| format == Format::Parquet)
    }

    /// The format of a text whose first bytes are `head`: as the command line says, else by the name, else by
    /// the content.
    fn format_of(&self, input: &Input, head: &[u8]) -> anyhow::Result<Format> {
        let head = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head);
        if head.is_empty() {
            return Err(EmptyFile("the file is empty").into());
        }
        if let Some(refusal) = foreign::refusal(head) {
            bail!("the file {refusal}");
        }
        if let Some(format) = self.format {
            ensure!(format != Format::Parquet, "the file is not Parquet");
            return Ok(format);
        }
        if head.starts_with(&table::MAGIC) {
            return Ok(Format::Parquet);
        }
        let name = input.name.to_ascii_lowercase();
        let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
        let named = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        let first = head.iter().find(|byte| !byte.is_ascii_whitespace());
        match first {
            _ if named(&[".csv", ".tsv"]) => Ok(Format::Csv),
            Some(b'[') => bail!("the file is a JSON array; only one object per line is read (try: jq -c '.[]')"),
            _ if named(&[".ndjson", ".jsonl", ".json"]) => Ok(Format::Ndjson),
            Some(b'{') => Ok(Format::Ndjson),
            _ => Ok(Format::Csv),
        }
    }
}

/// Counts the bytes that are read.
struct Metered {
    source: Box<dyn Read + Send>,
    meter: Arc<AtomicU64>,
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.source.read(buffer)?;
        self.meter.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

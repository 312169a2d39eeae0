//! `nilometer export`: events of a stopped server, oldest first, in a form that `nilometer import` and
//! others read. A file appears whole or not at all.

use std::borrow::Cow;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use api::{EventBody, shown_properties};
use domain::access::audit::Cause;
use domain::encryption::Lens;
use domain::tenant::{TenantId, TenantScope};
use ledger_embedded::interchange::ParquetEvents;
use ports::clock::Clock;
use ports::register::RegisterCommit;
use ports::reports::{EventQuery, Order, Reports, StoredEvent};
use serde::Serialize;
use vfs::{Publisher, UserFilesVfs};

use super::destination::or_environment;
use super::events::RequestedEvents;
use crate::assemble::Engine;
use crate::cli::ExportArgs;
use crate::config::{CONFIG_VARIABLE, Config, ConfigError};
use crate::folder::IfCopy;
use crate::import::files::Format;
use crate::register;

/// Events asked for at once. Every page looks for its beginning anew, so that few large ones are
/// faster than many small ones.
const PAGE_EVENTS: usize = 50_000;
/// Bytes after which fewer are.
const PAGE_BYTES: usize = 512 << 20;
/// The columns of CSV.
const COLUMNS: [&str; 18] = [
    "event_id",
    "time",
    "type",
    "project",
    "customer",
    "user",
    "endpoint",
    "tokens",
    "input_tokens",
    "output_tokens",
    "latency_ms",
    "model",
    "properties",
    "received_at",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "id_scheme",
];
/// What a spreadsheet takes for a formula when a cell begins with it.
const FORMULA_STARTS: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// Writes the events that the command asks for.
pub(super) async fn export(args: ExportArgs) -> anyhow::Result<ExitCode> {
    let ExportArgs { filter: args, format, output, decrypt } = args;
    let tenant = TenantId::parse(&args.tenant).map_err(|why| ConfigError::new(format!("--tenant: {why}")))?;
    let scope = TenantScope::for_operator(tenant);
    let format = format_of(format, output.as_deref())?;
    let data = args.folder.data()?;
    let requested = RequestedEvents::read(args)?;
    let engine = Engine::open_existing(&data, IfCopy::Refuse).await?;
    let query = EventQuery {
        filter: requested.filter(engine.ledger.applied_zone(&scope).zone)?,
        order: Order::Ascending,
        after: None,
        limit: PAGE_EVENTS,
        bytes_max: PAGE_BYTES,
    };
    engine.catch_up().await?;
    let lens = if decrypt { plain_lens(&engine, &scope).await? } else { Lens::HIDING };
    let action = if decrypt { "export.decrypt" } else { "export" };
    let noted = Cause::command().draft(Some(scope.tenant()), engine.clock.now(), action, "events");
    engine.register_store().commit(&RegisterCommit { audit: vec![noted], ..RegisterCommit::default() }).await?;
    let written = match &output {
        Some(path) => to_file(&*engine.ledger, &scope, &lens, query, format, path).await,
        None => to_stdout(&*engine.ledger, &scope, &lens, query, format).await,
    };
    engine.close().await?;
    match written {
        // The reader of the pipe has seen enough, as in `nilometer export | head`.
        Err(why) if why.downcast_ref::<io::Error>().is_some_and(|why| why.kind() == ErrorKind::BrokenPipe) => {
            Ok(ExitCode::SUCCESS)
        }
        Err(why) => Err(why),
        Ok(events) => {
            if let Some(path) = output {
                writeln!(io::stdout(), "exported {events} events to {}", path.display())?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The format that is asked for, else the one of the output's name. A name that promises what is not written
/// is refused: whoever opens the file would be misled.
fn format_of(asked: Option<Format>, output: Option<&Path>) -> Result<Format, ConfigError> {
    let ending = output.and_then(Path::extension).map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    let refused =
        |what: &str| Err(ConfigError::new(format!("--output .{}: {what}", ending.as_deref().unwrap_or_default())));
    let named = match ending.as_deref() {
        None => Some(Format::Ndjson),
        Some("csv") => Some(Format::Csv),
        Some("ndjson" | "jsonl" | "json") => Some(Format::Ndjson),
        Some("parquet") => Some(Format::Parquet),
        Some("gz" | "gzip" | "zst" | "zstd" | "bz2" | "xz" | "lz4" | "zip" | "7z" | "tgz") => {
            return refused("nothing is compressed; write to standard output and compress that");
        }
        Some("xlsx" | "xls" | "ods") => return refused("no workbook is written; a .csv opens in a spreadsheet"),
        Some(_) => None,
    };
    match asked.or(named) {
        Some(format) => Ok(format),
        None => {
            refused("no format has this ending; .csv, .ndjson, .jsonl, .json and .parquet do, or --format says one")
        }
    }
}

/// Shows encrypted properties in plain text: who holds the folder and its master key may.
async fn plain_lens(engine: &Engine, scope: &TenantScope) -> anyhow::Result<Lens> {
    let config = Config::of_folder(or_environment(None, CONFIG_VARIABLE)?.as_deref())?;
    let encryption = register::encryption(engine, &config.access).await?;
    Ok(encryption.of(scope).map_or(Lens::HIDING, |encryption| encryption.lens()))
}

async fn to_file(
    reports: &dyn Reports,
    scope: &TenantScope,
    lens: &Lens,
    query: EventQuery,
    format: Format,
    path: &Path,
) -> anyhow::Result<u64> {
    let failed = || format!("failed to write {}", path.display());
    let name = path.file_name().and_then(|name| name.to_str()).with_context(failed)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let publisher = Publisher::create(Arc::new(UserFilesVfs), folder, name).with_context(failed)?;
    let (publisher, events) = write(reports, scope, lens, query, Sheet::new(format, publisher)?).await?;
    publisher.finish().with_context(failed)?;
    Ok(events)
}

async fn to_stdout(
    reports: &dyn Reports,
    scope: &TenantScope,
    lens: &Lens,
    query: EventQuery,
    format: Format,
) -> anyhow::Result<u64> {
    let out = BufWriter::with_capacity(1 << 16, io::stdout());
    let (mut out, events) = write(reports, scope, lens, query, Sheet::new(format, out)?).await?;
    out.flush()?;
    Ok(events)
}

async fn write<W: Write + Send>(
    reports: &dyn Reports,
    scope: &TenantScope,
    lens: &Lens,
    mut query: EventQuery,
    mut sheet: Sheet<W>,
) -> anyhow::Result<(W, u64)> {
    let mut events = 0;
    loop {
        let mut page = reports.events(scope, &query).await?;
        events += page.rows.len() as u64;
        for event in &mut page.rows {
            event.properties = shown_properties(scope, event, lens).map(Cow::into_owned);
        }
        sheet.push(scope, page.rows)?;
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok((sheet.finish()?, events)),
        }
    }
}

/// A line of NDJSON.
#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    event: EventBody,
    /// What the id means, unless it is the client's own or an assigned one.
    #[serde(skip_serializing_if = "Option::is_none")]
    id_scheme: Option<&'static str>,
}

/// A file being written in one of the formats.
enum Sheet<W: Write + Send> {
    Csv(Box<csv::Writer<W>>),
    Ndjson(W),
    Parquet(Box<ParquetEvents<W>>),
}

impl<W: Write + Send> Sheet<W> {
    fn new(format: Format, out: W) -> anyhow::Result<Self> {
        Ok(match format {
            Format::Csv => {
                let mut writer = csv::Writer::from_writer(out);
                writer.write_record(COLUMNS).map_err(plain)?;
                Self::Csv(Box::new(writer))
            }
            Format::Ndjson => Self::Ndjson(out),
            Format::Parquet => Self::Parquet(Box::new(ParquetEvents::new(out)?)),
        })
    }

    fn push(&mut self, scope: &TenantScope, events: Vec<StoredEvent>) -> anyhow::Result<()> {
        match self {
            Self::Csv(writer) => events.iter().try_for_each(|event| push_row(writer, event)),
            Self::Ndjson(out) => {
                for event in events {
                    let id_scheme = event.id_scheme.name();
                    let line = Line { event: EventBody::new(scope, event, &Lens::HIDING)?, id_scheme };
                    out.write_all(&serde_json::to_vec(&line)?)?;
                    out.write_all(b"\n")?;
                }
                Ok(())
            }
            Self::Parquet(writer) => Ok(writer.push(&events)?),
        }
    }

    fn finish(self) -> anyhow::Result<W> {
        match self {
            Self::Csv(writer) => writer.into_inner().map_err(|why| why.into_error().into()),
            Self::Ndjson(out) => Ok(out),
            Self::Parquet(writer) => Ok(writer.finish()?),
        }
    }
}

/// The error of the file itself, which tells a closed pipe.
fn plain(why: csv::Error) -> anyhow::Error {
    match why.into_kind() {
        csv::ErrorKind::Io(why) => why.into(),
        other => anyhow::anyhow!("failed to write a row: {other:?}"),
    }
}

fn push_row<W: Write>(writer: &mut csv::Writer<W>, event: &StoredEvent) -> anyhow::Result<()> {
    let count = |count: Option<u64>| count.map(|count| count.to_string()).unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "latencies are at most 1e12 us")]
    let latency = event.latency_us.map(|micros| (micros as f64 / 1e3).to_string()).unwrap_or_default();
    let cells: [Cow<'_, str>; COLUMNS.len()] = [
        guarded(&event.id),
        Cow::Owned(event.time.to_string()),
        guarded(&event.kind),
        guarded(event.project.as_deref().unwrap_or_default()),
        guarded(event.customer.as_deref().unwrap_or_default()),
        guarded(event.user.as_deref().unwrap_or_default()),
        guarded(event.endpoint.as_deref().unwrap_or_default()),
        Cow::Owned(count(event.tokens)),
        Cow::Owned(count(event.input_tokens)),
        Cow::Owned(count(event.output_tokens)),
        Cow::Owned(latency),
        guarded(event.model.as_deref().unwrap_or_default()),
        guarded(event.properties.as_deref().unwrap_or_default()),
        Cow::Owned(event.received_at.to_string()),
        Cow::Owned(count(event.cache_read_tokens)),
        Cow::Owned(count(event.cache_write_tokens)),
        Cow::Owned(count(event.reasoning_tokens)),
        Cow::Borrowed(event.id_scheme.name().unwrap_or_default()),
    ];
    for cell in &cells {
        writer.write_field(cell.as_bytes()).map_err(plain)?;
    }
    writer.write_record(None::<&[u8]>).map_err(plain)
}

/// The text so that no spreadsheet runs it: with a `'` before what looks like a formula, and before
/// what looks like a text with such a `'`, so that the import knows which ones to take off.
fn guarded(text: &str) -> Cow<'_, str> {
    if text.trim_start_matches('\'').starts_with(FORMULA_STARTS) {
        return Cow::Owned(format!("'{text}"));
    }
    Cow::Borrowed(text)
}

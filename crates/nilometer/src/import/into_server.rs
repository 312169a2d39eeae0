//! Takes rows into a running server over HTTP: batches of lines on a few kept-alive connections, each
//! sent until it is answered. Every event has an id before it is sent, so that sending it again counts
//! nothing. Batches may be answered in any order; they are settled in the order of the files.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use clock::Stopwatch;
use domain::event::{Candidate, split_cloud_event_id};
use domain::limits::REJECT_RAW_BYTES_MAX;
use domain::rejection::{RejectCode, Rejection};
use domain::warning::Warning;
use serde::Deserialize;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::batcher::{Batcher, ImportBatch, Packer, Stopped};
use super::content_id::content_id;
use super::event_json::push_event;
use super::files::RowSource;
use super::rejects::Reject;
use super::session::ImportSession;
use super::summary::{Findings, Place};
use crate::client::HttpClient;
use crate::client::delivery::{deliver, excerpt};

/// Where events are posted; the answer waits until they are applied, so that its verdicts are final.
/// When that takes too long for one request, the receipt tells.
const PATH: &str = "/v1/events?wait=applied";
const STRICT_PATH: &str = "/v1/events?wait=applied&strict=true";
const CONTENT_TYPE: &str = "application/x-ndjson";
/// Events of one request, and bytes of its body after which it is closed all the same.
const BATCH_EVENTS: usize = 5_000;
const BATCH_BYTES: usize = 2 << 20;
/// Batches that wait for a connection (I6).
const WAITING_MAX: usize = 2;
/// Wait before a receipt is read again.
const RECEIPT_INTERVAL: Duration = Duration::from_millis(500);
/// How long no batch is finished before a notice says so.
const NOTICE_INTERVAL: Duration = Duration::from_secs(10);
/// The code of an event that alone is larger than the server takes.
const TOO_LARGE: &str = "too_large";
/// Why an event is not sent whose id an export gave as a hash.
const HASHED_ID: &str =
    "the id is a hash of a CloudEvent's source and id, which cannot be sent; import the file into the data folder";

/// How events are sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SendOptions {
    /// Requests under way at once, each on a connection.
    pub(crate) connections: u16,
    /// How long one batch is sent again and again.
    pub(crate) retry_timeout: Duration,
    /// Whether events that look like a mistake are refused.
    pub(crate) strict: bool,
}

/// Loads everything that `source` gives; returns when it is applied, or when one batch is not taken.
pub(crate) async fn load(
    client: &HttpClient,
    options: SendOptions,
    source: impl RowSource,
    session: &mut ImportSession,
) -> anyhow::Result<()> {
    let connections = usize::from(options.connections);
    let (out, batches) = mpsc::channel(WAITING_MAX);
    let read = move || {
        source
            .read_into(&mut Batcher::new(&mut ServerPacker { strict: options.strict, ..ServerPacker::default() }, out))
    };
    let reader = std::thread::Builder::new().name("reader".to_owned()).spawn(read);
    let reader = reader.context("failed to start the reader")?;
    let taken = Arc::new(AtomicU64::new(0));
    let batches = Arc::new(Mutex::new(NumberedBatches { taken: Arc::clone(&taken), batches }));
    let (done, answers) = mpsc::channel(connections);
    let mut senders = JoinSet::new();
    for _ in 0..connections {
        let path = if options.strict { STRICT_PATH } else { PATH };
        let sender = Sender { client: client.clone(), retry_timeout: options.retry_timeout, path };
        senders.spawn(send(sender, Arc::clone(&batches), done.clone()));
    }
    drop((done, batches));
    // When sending fails, the reader is left alone: it may wait for more rows for ever.
    let settled = settle(answers, senders, &taken, options.retry_timeout, session).await;
    settled.with_context(|| format!("failed to import into {}", client.url()))?;
    let read = reader.join().map_err(|_| anyhow::anyhow!("the reader failed"))?;
    read.or_else(|why| if why.is::<Stopped>() { Ok(()) } else { Err(why) })
}

/// The batches with their numbers, in the order of the files.
struct NumberedBatches {
    /// How many have been taken out.
    taken: Arc<AtomicU64>,
    batches: mpsc::Receiver<ImportBatch<Post>>,
}

impl NumberedBatches {
    async fn next(&mut self) -> Option<(u64, ImportBatch<Post>)> {
        let batch = self.batches.recv().await?;
        Some((self.taken.fetch_add(1, Ordering::Relaxed), batch))
    }
}

/// A batch, and what became of its rows.
struct AnsweredBatch {
    number: u64,
    batch: ImportBatch<Post>,
    accepted: u64,
    duplicates: u64,
    /// Events that became dead letters, and why.
    dead: Vec<(u64, String)>,
}

/// Sends one batch after the other, until there are no more.
async fn send(
    sender: Sender,
    batches: Arc<Mutex<NumberedBatches>>,
    done: mpsc::Sender<AnsweredBatch>,
) -> anyhow::Result<()> {
    loop {
        let Some((number, mut batch)) = batches.lock().await.next().await else { return Ok(()) };
        let (mut accepted, mut duplicates, mut dead) = (0, 0, Vec::new());
        if let Some(post) = batch.packed.take() {
            let mut parts: Vec<_> = std::iter::once(0..post.lines.len()).collect();
            while let Some(part) = parts.pop() {
                match sender.post(&post, part.clone()).await? {
                    PostOutcome::Answered(answer) => {
                        answer.tell(&post, part.start, batch.file, &mut batch.warnings);
                        batch.rejects.extend(answer.rejects(&post, part)?);
                        match sender.outcome_of(&answer).await? {
                            BatchOutcome::Applied { accepted: fresh, duplicates: known } => {
                                accepted += fresh;
                                duplicates += known;
                            }
                            BatchOutcome::DeadLettered { reason } => {
                                duplicates += answer.duplicates;
                                dead.push((answer.accepted, reason));
                            }
                        }
                    }
                    PostOutcome::TooLarge if part.len() > 1 => {
                        let middle = part.start + part.len() / 2;
                        parts.extend([middle..part.end, part.start..middle]);
                    }
                    PostOutcome::TooLarge => batch.rejects.extend(post.too_large(part.start)),
                }
            }
        }
        if done.send(AnsweredBatch { number, batch, accepted, duplicates, dead }).await.is_err() {
            return Ok(());
        }
    }
}

/// Settles batches in the order of their numbers, until all senders have ended or one has failed.
async fn settle(
    mut answers: mpsc::Receiver<AnsweredBatch>,
    mut senders: JoinSet<anyhow::Result<()>>,
    taken: &AtomicU64,
    retry_timeout: Duration,
    session: &mut ImportSession,
) -> anyhow::Result<()> {
    let (mut next, mut silence, mut reported) = (0, Stopwatch::start(), Stopwatch::start());
    let mut early = BTreeMap::new();
    loop {
        let quiet = NOTICE_INTERVAL.saturating_sub(silence.elapsed().min(reported.elapsed()));
        tokio::select! {
            // What is answered counts, also beside a failure.
            biased;
            Some(answered) = answers.recv() => {
                silence = Stopwatch::start();
                early.insert(answered.number, answered);
                while let Some(AnsweredBatch { batch, accepted, duplicates, dead, .. }) = early.remove(&next) {
                    session.counted(accepted, duplicates);
                    dead.iter().for_each(|(rows, reason)| session.dead_lettered(&batch, *rows, reason));
                    session.settled(&batch)?;
                    next += 1;
                }
            }
            Some(ended) = senders.join_next() => ended.context("a connection failed")??,
            () = sleep(quiet), if !senders.is_empty() => {
                reported = Stopwatch::start();
                if taken.load(Ordering::Relaxed) > next + early.len() as u64 {
                    session.report_silence(silence.elapsed(), retry_timeout);
                } else {
                    silence = Stopwatch::start();
                }
            }
            else => return Ok(()),
        }
    }
}

/// Sends one request at a time.
struct Sender {
    client: HttpClient,
    retry_timeout: Duration,
    path: &'static str,
}

/// How a server answered a request to store events.
enum PostOutcome {
    Answered(IngestAnswer),
    TooLarge,
}

impl Sender {
    async fn post(&self, post: &Post, part: Range<usize>) -> anyhow::Result<PostOutcome> {
        let request = self.client.post(self.path, CONTENT_TYPE, post.body_of(&part))?;
        let answer = deliver(&self.client, &request, self.retry_timeout).await?;
        match answer.status {
            // 422 says that every event is rejected, and why.
            202 | 422 => {
                let answer: IngestAnswer =
                    serde_json::from_slice(&answer.body).context("failed to read the server's verdicts")?;
                let answered = answer.accepted + answer.duplicates + answer.rejected;
                ensure!(answered == part.len() as u64, "server gave {answered} verdicts on {} events", part.len());
                Ok(PostOutcome::Answered(answer))
            }
            413 => Ok(PostOutcome::TooLarge),
            status => bail!("server answered {status}: {}", excerpt(&answer.body)),
        }
    }

    /// What became of the events of `answer`; when the server answered before they were applied, reads
    /// their receipt until it says so.
    async fn outcome_of(&self, answer: &IngestAnswer) -> anyhow::Result<BatchOutcome> {
        let answered = BatchOutcome::Applied { accepted: answer.accepted, duplicates: answer.duplicates };
        let Some(receipt) = answer.receipt.as_deref().filter(|_| answer.applied == Some(false)) else {
            return Ok(answered);
        };
        let request = self.client.get(&format!("/v1/receipts/{receipt}"))?;
        let since = Stopwatch::start();
        loop {
            let left = self.retry_timeout.saturating_sub(since.elapsed());
            let found = deliver(&self.client, &request, left).await.context("failed to read the receipt of a batch")?;
            ensure!(found.status == 200, "server answered {}: {}", found.status, excerpt(&found.body));
            let Receipt { status, accepted, duplicates, erased, reason } =
                serde_json::from_slice(&found.body).context("failed to read the receipt of a batch")?;
            match (status.as_str(), accepted, duplicates) {
                ("dead_lettered", ..) => return Ok(BatchOutcome::DeadLettered { reason: reason.unwrap_or_default() }),
                ("queued", ..) => ensure!(!left.is_zero(), "a batch is durable and not applied yet"),
                (_, Some(accepted), Some(duplicates)) => {
                    let duplicates = answer.duplicates + duplicates + erased;
                    return Ok(BatchOutcome::Applied { accepted, duplicates });
                }
                // Applied so long ago that the server has forgotten the counts.
                _ => return Ok(answered),
            }
            sleep(RECEIPT_INTERVAL).await;
        }
    }
}

/// What became of the events of one answer.
enum BatchOutcome {
    Applied {
        accepted: u64,
        duplicates: u64,
    },
    /// The accepted events are counted nowhere.
    DeadLettered {
        reason: String,
    },
}

/// What the server says of a receipt.
#[derive(Debug, Deserialize)]
struct Receipt {
    status: String,
    accepted: Option<u64>,
    duplicates: Option<u64>,
    /// Missing when there are none.
    #[serde(default)]
    erased: u64,
    reason: Option<String>,
}

/// The server's verdicts.
#[derive(Debug, Deserialize)]
struct IngestAnswer {
    accepted: u64,
    duplicates: u64,
    rejected: u64,
    receipt: Option<String>,
    applied: Option<bool>,
    results: Box<serde_json::value::RawValue>,
    /// What the server warned about; none from a server that does not.
    #[serde(default)]
    warnings: Vec<WarningSum>,
}

/// What the server warned about some events of a request.
#[derive(Debug, Deserialize)]
struct WarningSum {
    code: String,
    field: Option<String>,
    count: u64,
    first: usize,
    message: String,
}

#[derive(Debug, Deserialize)]
struct Verdict {
    status: String,
    code: Option<String>,
    field: Option<String>,
    message: Option<String>,
}

impl IngestAnswer {
    /// Adds what the server warned about to `findings`; its request began with event number `start` of `post`.
    fn tell(&self, post: &Post, start: usize, file: usize, findings: &mut Findings) {
        for WarningSum { code, field, count, first, message } in &self.warnings {
            if !is_found_by_server_alone(code) {
                continue;
            }
            let line = post.lines.get(start.saturating_add(*first)).map_or(0, |origin| origin.line);
            let field = field.as_deref().unwrap_or_default();
            findings.add_warnings(code, field, *count, Place { file, line }, message);
        }
    }

    /// The refused events of `part`.
    fn rejects(&self, post: &Post, part: Range<usize>) -> anyhow::Result<Vec<Reject>> {
        if self.rejected == 0 {
            return Ok(Vec::new());
        }
        let verdicts: Vec<Verdict> =
            serde_json::from_str(self.results.get()).context("failed to read the server's verdicts")?;
        let refused = part.zip(verdicts).filter(|(_, verdict)| verdict.status == "rejected");
        let reject = |(event, verdict): (usize, Verdict)| {
            let code = Cow::Owned(verdict.code.unwrap_or_default());
            post.reject(event, code, verdict.field, verdict.message.unwrap_or_default())
        };
        let rejects: Vec<_> = refused.filter_map(reject).collect();
        ensure!(rejects.len() as u64 == self.rejected, "server did not say which events it rejects");
        Ok(rejects)
    }
}

/// The body of a request, and where its events come from.
#[derive(Debug)]
pub(crate) struct Post {
    body: Bytes,
    lines: Vec<RowOrigin>,
    /// The beginnings of the rows, one after the other.
    raw: Vec<u8>,
}

/// Where an event comes from, and where it stands.
#[derive(Debug, Clone, Copy)]
struct RowOrigin {
    line: u64,
    raw_start: usize,
    body_start: usize,
}

impl Post {
    /// The lines of the events of `part`.
    fn body_of(&self, part: &Range<usize>) -> Bytes {
        let start = |event: usize| self.lines.get(event).map_or(self.body.len(), |origin| origin.body_start);
        self.body.slice(start(part.start)..start(part.end))
    }

    fn reject(&self, event: usize, code: Cow<'static, str>, field: Option<String>, message: String) -> Option<Reject> {
        let origin = self.lines.get(event)?;
        let end = self.lines.get(event + 1).map_or(self.raw.len(), |next| next.raw_start);
        let raw = self.raw.get(origin.raw_start..end).unwrap_or_default();
        Some(Reject::from_server(origin.line, code, field, message, raw))
    }

    fn too_large(&self, event: usize) -> Option<Reject> {
        self.reject(event, Cow::Borrowed(TOO_LARGE), None, "larger than the server takes".to_owned())
    }
}

/// Whether admission tells, which reading a row does not. What reading tells, the server may find again in what is
/// sent; it is told once.
fn is_found_by_server_alone(code: &str) -> bool {
    matches!(code, "no_customer_or_user" | "zero_time" | "placeholder_value")
}

/// Makes bodies.
#[derive(Debug, Default)]
struct ServerPacker {
    body: Vec<u8>,
    lines: Vec<RowOrigin>,
    raw: Vec<u8>,
    strict: bool,
}

impl Packer for ServerPacker {
    type Packed = Post;

    fn take<'c>(&mut self, candidate: &'c Candidate<'c>, line: u64, raw: &[u8]) -> Result<Vec<Warning<'c>>, Rejection> {
        // The server is sent what was read, and finds only what is wrong with that.
        if let Some(warning) = candidate.warnings.iter().find(|warning| self.strict && warning.code.is_strict()) {
            return Err(Rejection::strict(warning));
        }
        let id = candidate.id.as_deref();
        if candidate.stored_scheme.is_some() && id.and_then(split_cloud_event_id).is_none() {
            return Err(Rejection::of(RejectCode::InvalidValue, "id_scheme", HASHED_ID));
        }
        self.lines.push(RowOrigin { line, raw_start: self.raw.len(), body_start: self.body.len() });
        self.raw.extend_from_slice(&raw[..raw.len().min(REJECT_RAW_BYTES_MAX)]);
        match id {
            Some(id) => push_event(&mut self.body, candidate, id),
            None => push_event(&mut self.body, candidate, &content_id(candidate)),
        }
        let is_found_here = |warning: &&Warning<'_>| !is_found_by_server_alone(warning.code.as_str());
        Ok(candidate.warnings.iter().filter(is_found_here).cloned().collect())
    }

    fn is_due(&self) -> bool {
        self.lines.len() >= BATCH_EVENTS || self.body.len() >= BATCH_BYTES
    }

    fn pack(&mut self) -> Option<Post> {
        let Self { body, lines, raw, strict } = std::mem::take(self);
        self.strict = strict;
        (!lines.is_empty()).then(|| Post { body: Bytes::from(body), lines, raw })
    }
}

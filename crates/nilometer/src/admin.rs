//! How a command reaches the server of a folder without a key: whoever may write into the folder may run it.
//! The command leaves a request in the folder, and the server, which looks once a second, an answer. Takes no
//! other request than one: to believe the clock.
//!
//! ```text
//! DATA/accept-clock.request  a text that no other request has
//! DATA/accept-clock.answer   JSON: that text, and what was believed before and is now
//! ```

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use domain::time::Timestamp;
use pipeline::TrustedClock;
use ports::clock::Clock;
use serde::{Deserialize, Serialize};
use vfs::{DiskVfs, Publisher, Vfs};

const REQUEST: &str = "accept-clock.request";
const ANSWER: &str = "accept-clock.answer";
/// More than a request or an answer has.
const FILE_BYTES_MAX: u64 = 1 << 10;
/// Time between two looks for a request, and for an answer.
const ROUND: Duration = Duration::from_secs(1);
const ANSWER_ROUND: Duration = Duration::from_millis(100);
/// Looks for an answer before the command gives up.
const ANSWER_ROUNDS: u32 = 150;

/// What the server has made of a request.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AcceptClockAnswer {
    request: String,
    was_in_doubt: bool,
    before: String,
    now: String,
}

impl AcceptClockAnswer {
    /// For the operator.
    pub(crate) fn told(&self) -> String {
        let Self { before, now, .. } = self;
        if self.was_in_doubt {
            format!("the server believed that it is {before}; it believes the clock now: {now}")
        } else {
            format!("the server believed the clock already: {now}")
        }
    }
}

/// Answers requests as long as it is not dropped.
#[derive(Debug)]
pub(crate) struct Requests(tokio::task::JoinHandle<()>);

impl Requests {
    /// Answers what is asked from now on; a request that was left by a command that gave up is not.
    pub(crate) fn answer(data: &Path, clock: Arc<TrustedClock>) -> anyhow::Result<Self> {
        for name in [REQUEST, ANSWER] {
            remove(&data.join(name)).with_context(|| format!("failed to remove an old {name}"))?;
        }
        let data = data.to_owned();
        Ok(Self(tokio::spawn(async move {
            loop {
                clock.sleep(ROUND).await;
                let (data, clock) = (data.clone(), Arc::clone(&clock));
                let round = tokio::task::spawn_blocking(move || answer_one(&data, &clock));
                if let Ok(Err(why)) = round.await {
                    tracing::warn!(error = %why, "a request in the data folder was not answered");
                }
            }
        })))
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn answer_one(data: &Path, clock: &TrustedClock) -> io::Result<()> {
    let Some(request) = read(&data.join(REQUEST))? else { return Ok(()) };
    // Gone before it is done: it is done once at most.
    remove(&data.join(REQUEST))?;
    let accepted = clock.accept();
    let text = |at: Timestamp| at.to_string();
    let answer = AcceptClockAnswer {
        request,
        was_in_doubt: accepted.was_in_doubt,
        before: text(accepted.before),
        now: text(accepted.now),
    };
    write(data, ANSWER, &serde_json::to_vec(&answer)?)
}

/// Asks the server of `data` to believe its clock.
///
/// # Errors
/// When no server answers.
pub(crate) fn accept_clock(data: &Path) -> anyhow::Result<AcceptClockAnswer> {
    let request = format!("{:032x}", rand::random::<u128>());
    write(data, REQUEST, request.as_bytes()).with_context(|| format!("failed to write {REQUEST}"))?;
    for _ in 0..ANSWER_ROUNDS {
        std::thread::sleep(ANSWER_ROUND);
        let Some(answer) = read(&data.join(ANSWER)).context("failed to read the answer")? else { continue };
        let answer: AcceptClockAnswer = serde_json::from_str(&answer).context("failed to read the answer")?;
        if answer.request == request {
            remove(&data.join(ANSWER)).context("failed to remove the answer")?;
            return Ok(answer);
        }
    }
    remove(&data.join(REQUEST)).context("failed to take the request back")?;
    bail!("what uses {} has not answered: it is no server, or one of an earlier version", data.display())
}

fn write(data: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut file = Publisher::create(Arc::new(DiskVfs), data, name)?;
    file.write_all(bytes)?;
    file.finish().map(drop)
}

/// The text of a small file; `None` when it is not there.
fn read(path: &Path) -> io::Result<Option<String>> {
    let file = match DiskVfs.open_read(path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let length = usize::try_from(file.len().min(FILE_BYTES_MAX)).unwrap_or(0);
    let mut bytes = vec![0; length];
    file.read_exact_at(0, &mut bytes)?;
    String::from_utf8(bytes).map(Some).map_err(io::Error::other)
}

fn remove(path: &Path) -> io::Result<()> {
    match DiskVfs.remove(path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

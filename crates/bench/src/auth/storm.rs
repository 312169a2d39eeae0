//! Clients that log in with wrong passwords, each again as soon as it is answered, whatever the answer asks for. On a
//! thread of their own, as the load is.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use clock::Stopwatch;
use serde::Serialize;
use tokio::task::{JoinHandle, JoinSet};

use crate::http::connection::{Connection, Target};
use crate::http::delivery::excerpt;

/// Where people log in.
const PATH: &str = "/v1/auth/login";

/// Whom the attempts come from and concern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempts {
    /// One address, one account for each client: soon nearly all are refused without looking at the password.
    OneAddress,
    /// Another address and another account with each, as a proxy would say: no count holds them back.
    ManyAddresses,
}

/// How they were answered.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Answers {
    /// 401: the password was hashed and compared.
    pub(super) checked: u64,
    /// 429: too many attempts.
    pub(super) throttled: u64,
    /// 503: too many passwords wait.
    pub(super) busy: u64,
    /// For how long, in seconds.
    pub(super) seconds: f64,
}

impl Answers {
    /// Adds others.
    pub(super) fn add(&mut self, other: Self) {
        self.checked += other.checked;
        self.throttled += other.throttled;
        self.busy += other.busy;
        self.seconds += other.seconds;
    }
}

/// A storm that goes on until it is stopped or dropped.
#[derive(Debug)]
pub(super) struct Storm {
    over: Arc<AtomicBool>,
    answers: JoinHandle<anyhow::Result<Answers>>,
}

impl Storm {
    /// Starts so many clients.
    pub(super) fn start(target: &Arc<Target>, clients: u16, attempts: Attempts) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (target, its_over) = (Arc::clone(target), Arc::clone(&over));
        let answers = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let storm = rage(&target, clients, attempts, &its_over);
            runtime.context("failed to start the runtime of the logins")?.block_on(storm)
        });
        Self { over, answers }
    }

    /// Ends it.
    pub(super) async fn stop(mut self) -> anyhow::Result<Answers> {
        self.over.store(true, Ordering::Relaxed);
        (&mut self.answers).await.context("the thread of the logins failed")?
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

async fn rage(
    target: &Arc<Target>,
    clients: u16,
    attempts: Attempts,
    over: &Arc<AtomicBool>,
) -> anyhow::Result<Answers> {
    let since = Stopwatch::start();
    let mut all = JoinSet::new();
    for client in 0..clients {
        all.spawn(log_in(Arc::clone(target), client, attempts, Arc::clone(over)));
    }
    let mut answers = Answers::default();
    while let Some(ended) = all.join_next().await {
        answers.add(ended.context("a client that logs in failed")??);
    }
    answers.seconds = since.elapsed().as_secs_f64();
    Ok(answers)
}

async fn log_in(
    target: Arc<Target>,
    client: u16,
    attempts: Attempts,
    over: Arc<AtomicBool>,
) -> anyhow::Result<Answers> {
    let mut connection = Connection::new(Arc::clone(&target));
    let mut answers = Answers::default();
    while !over.load(Ordering::Relaxed) {
        let response = connection.exchange(&attempt(&target, client, attempts)).await.context("failed to log in")?;
        match response.status {
            401 => answers.checked += 1,
            429 => answers.throttled += 1,
            503 => answers.busy += 1,
            other => bail!("{PATH} answered {other}: {}", excerpt(connection.body(&response))),
        }
    }
    Ok(answers)
}

fn attempt(target: &Target, client: u16, attempts: Attempts) -> Vec<u8> {
    let body = |account: u32| format!("{{\"email\":\"someone-{account}@example.com\",\"password\":\"not this one\"}}");
    match attempts {
        Attempts::OneAddress => target.post_openly(PATH, "", &body(u32::from(client))),
        Attempts::ManyAddresses => {
            let [_, a, b, c] = rand::random::<u32>().to_be_bytes();
            let from = format!("x-forwarded-for: {}\r\n", Ipv4Addr::new(10, a, b, c));
            target.post_openly(PATH, &from, &body(rand::random()))
        }
    }
}

/// Rest between the start of a storm and that of what is measured under it.
pub(super) const RISE: Duration = Duration::from_millis(300);

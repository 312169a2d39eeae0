//! Clients that never stop: several connections that send batches, send again what they know nothing
//! about, and note everything in the [`ClientLog`]. They outlive servers; they complain about answers
//! that are not honest, and leave the rest to the checker.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use rand::RngExt;
use rand::rngs::StdRng;

use super::client_log::ClientLog;
use super::http::Client;

/// Clients at once.
const CLIENTS: u64 = 4;
/// Longest silence before a request counts as unanswered.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Pause of a client that has no server, or was told to come back later.
const PAUSE: Duration = Duration::from_millis(2);

/// Clients at work; they end when dropped.
pub(crate) struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

struct Shared {
    log: Arc<ClientLog>,
    server: Mutex<Option<SocketAddr>>,
    ended: AtomicBool,
    complaints: Mutex<Vec<String>>,
    events_max: usize,
    reads: bool,
}

impl Load {
    /// Clients that send batches of up to `events_max` events and wait for a server. Now and then
    /// they read what they were told is applied.
    pub(crate) fn start(log: &Arc<ClientLog>, events_max: usize) -> Self {
        Self::with(log, events_max, true)
    }

    /// A load without reading.
    pub(crate) fn of_writers(log: &Arc<ClientLog>, events_max: usize) -> Self {
        Self::with(log, events_max, false)
    }

    fn with(log: &Arc<ClientLog>, events_max: usize, reads: bool) -> Self {
        let shared = Arc::new(Shared {
            log: Arc::clone(log),
            server: Mutex::default(),
            ended: AtomicBool::new(false),
            complaints: Mutex::default(),
            events_max,
            reads,
        });
        let client = |part| {
            let (shared, random) = (Arc::clone(&shared), log.seed().random(part));
            std::thread::spawn(move || shared.run(random))
        };
        let clients = (1..=CLIENTS).map(client).collect();
        Self { shared, clients }
    }

    /// Tells the clients where the server is now, if there is one.
    pub(crate) fn aim(&self, server: Option<SocketAddr>) {
        *self.shared.server.lock() = server;
    }

    /// Ends the load; returns what the clients complain about.
    pub(crate) fn end(mut self) -> Vec<String> {
        self.join();
        std::mem::take(&mut *self.shared.complaints.lock())
    }

    fn join(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            if client.join().is_err() {
                self.shared.complain("a client panicked".to_owned());
            }
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.join();
    }
}

impl Shared {
    fn run(&self, mut random: StdRng) {
        while !self.ended.load(Ordering::Relaxed) {
            let server = *self.server.lock();
            match server {
                None => std::thread::sleep(PAUSE),
                Some(address) => self.talk_to(address, &mut random),
            }
        }
    }

    /// Sends to one server until it is gone.
    fn talk_to(&self, address: SocketAddr, random: &mut StdRng) {
        let mut client = Client::impatient(address, SILENCE_MAX);
        while !self.ended.load(Ordering::Relaxed) && *self.server.lock() == Some(address) {
            let count = random.random_range(1..=self.events_max);
            let numbers = self.log.batch(random, count);
            let wait = random.random_ratio(1, 20);
            let path = if wait { "/v1/events?wait=applied" } else { "/v1/events" };
            let Ok(answer) = client.post(path, &self.log.body(&numbers)) else {
                std::thread::sleep(PAUSE);
                continue;
            };
            match answer.status {
                202 => {
                    let answer = answer.json();
                    if let Err(complaint) = self.log.note(&numbers, &answer) {
                        self.complain(complaint);
                    }
                    if self.reads && answer["applied"] == true {
                        self.read_own_write(&mut client, numbers[0]);
                    }
                }
                503 | 507 => std::thread::sleep(PAUSE),
                other => self.complain(format!("status {other}: {}", answer.text())),
            }
            // More than is flushed meanwhile would only lengthen the next start.
            std::thread::sleep(Duration::from_millis(random.random_range(0..20)));
        }
    }

    /// What was answered as applied can be read, unless the server has been started anew since and replays.
    fn read_own_write(&self, client: &mut Client, number: u64) {
        let id = self.log.id(number);
        if let Ok(answer) = client.get(&format!("/v1/events/{id}"))
            && !matches!(answer.status, 200 | 503)
        {
            self.complain(format!("{id} was answered as applied, but reading it gives {}", answer.text()));
        }
    }

    fn complain(&self, complaint: String) {
        self.complaints.lock().push(complaint);
    }
}

//! The questions of `nilometer bench analytics` to two servers that hold the same events, in turns,
//! answer caches off.

use std::path::Path;

use anyhow::{Context, ensure};

use super::comparison::{Comparison, Quantity, Value};
use super::runs::number;
use crate::analytics::{self, CACHES_OFF, Question, STRUCTURED, time_structured};
use crate::client::Client;
use crate::folder::Folder;
use crate::latency::Percentiles;
use crate::process::run_measured;
use crate::query;
use crate::server::Server;

/// Two servers, and what to ask them.
pub(super) struct Questions {
    servers: [Server; 2],
    questions: Vec<Question>,
    requests: u32,
    /// What the servers work on; removed after them.
    _folders: [Folder; 2],
}

impl Questions {
    /// Loads `file`, which has so many rows, into a folder of each of the two `builds`, and starts a server on it.
    pub(super) async fn open(
        builds: [&Path; 2],
        parent: &Path,
        file: &Path,
        rows: u64,
        requests: u32,
    ) -> anyhow::Result<Self> {
        let (first, first_folder) = load(builds[0], parent, file, rows).await?;
        let (second, second_folder) = load(builds[1], parent, file, rows).await?;
        let questions = analytics::questions_to(&first).await?;
        Ok(Self { servers: [first, second], questions, requests, _folders: [first_folder, second_folder] })
    }

    /// Asks both servers every question, in the order that `first` says, and adds what they took.
    pub(super) async fn ask(&self, first: usize, comparison: &mut Comparison) -> anyhow::Result<()> {
        for Question { name, paths } in &self.questions {
            let mut values = [Vec::new(), Vec::new()];
            for side in [first, 1 - first] {
                let latency = query::time_route(&self.servers[side], name, paths, self.requests).await?.latency;
                values[side] = told(name, &latency);
            }
            comparison.add(&values[0], &values[1]);
        }
        for (name, body) in STRUCTURED {
            let mut values = [Vec::new(), Vec::new()];
            for side in [first, 1 - first] {
                let latency = time_structured(&self.servers[side], body, self.requests).await?;
                values[side] = told(name, &latency);
            }
            comparison.add(&values[0], &values[1]);
        }
        Ok(())
    }

    /// Stops both servers.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        for server in self.servers {
            server.stop().await?;
        }
        Ok(())
    }
}

fn told(name: &str, latency: &Percentiles) -> Vec<Value> {
    vec![
        Value::new(format!("{name}, p50"), Quantity::P50Us, Some(number(latency.p50_us))),
        Value::new(format!("{name}, p99"), Quantity::P99Us, Some(number(latency.p99_us))),
    ]
}

async fn load(build: &Path, parent: &Path, file: &Path, rows: u64) -> anyhow::Result<(Server, Folder)> {
    let folder = Folder::temporary(parent)?;
    run_measured(build, &["import".as_ref(), file, "--data".as_ref(), folder.path()]).await?;
    let (server, _) = Server::start_build(build, folder.path(), &CACHES_OFF).await?;
    let customers = Client::new(server.target()).customers().await.context("failed to count what was imported")?;
    let stored: u64 = customers.iter().map(|customer| customer.calls).sum();
    ensure!(stored == rows, "{} counted {stored} of {rows} rows", build.display());
    Ok((server, folder))
}

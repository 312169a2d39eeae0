//! The memory that a register takes: of a server with one, less that of a server without, both fresh and settled, and
//! again after requests that present many of the keys.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Serialize;
use tokio::time::sleep;

use super::servers::Servers;
use crate::http::connection::Connection;
use crate::server::Server;

/// What is asked for.
const PATH: &str = "/v1/customers?limit=1";

/// Resident memory of both servers, in KiB: the one with an empty register, then the other.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Held {
    /// Before the first request.
    pub(super) fresh_kib: [u64; 2],
    /// After the requests.
    pub(super) used_kib: [u64; 2],
    /// Requests to each.
    pub(super) requests: usize,
}

impl Held {
    /// The larger of both differences, in KiB.
    pub(super) fn register_kib(&self) -> u64 {
        [self.fresh_kib, self.used_kib].map(|[empty, full]| full.saturating_sub(empty)).into_iter().max().unwrap_or(0)
    }
}

/// Reads the memory of both after `settle`, and after `requests` requests and `settle` again; none where the system
/// does not tell.
pub(super) async fn measure(servers: &Servers, settle: Duration, requests: usize) -> anyhow::Result<Option<Held>> {
    sleep(settle).await;
    let fresh = resident(servers);
    for server in [&servers.empty, &servers.full] {
        ask(server, requests).await?;
    }
    sleep(settle).await;
    let both = fresh.zip(resident(servers));
    Ok(both.map(|(fresh_kib, used_kib)| Held { fresh_kib, used_kib, requests }))
}

fn resident(Servers { empty, full }: &Servers) -> Option<[u64; 2]> {
    Some([empty.usage()?.resident_kib, full.usage()?.resident_kib])
}

async fn ask(server: &Server, requests: usize) -> anyhow::Result<()> {
    let target = server.target();
    let mut connection = Connection::new(Arc::clone(target));
    for number in 0..requests {
        let response = connection.exchange(&target.get_in_turn(PATH, number)).await.context("failed to ask")?;
        ensure!(response.status == 200, "{PATH} answered {}", response.status);
    }
    Ok(())
}

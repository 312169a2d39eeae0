//! `nilometer serve`: from an open folder to the last flush.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use api::ApiState;
use pipeline::{Metrics, Pipeline};
use tokio::net::TcpListener;

use crate::admin::Requests;
use crate::assemble::{Engine, Running};
use crate::config::Config;
use crate::files;
use crate::shutdown::{Ending, Signals};

/// The process stopped itself, because it could not keep its promises any more.
const EXIT_FAILED: u8 = 70;
/// A second signal did not wait for the end that the first one asked for.
const EXIT_IMPATIENT: u8 = 1;

/// Serves until a signal or a failure.
pub(super) async fn serve(mut config: Config) -> anyhow::Result<ExitCode> {
    let room = files::room_for_connections();
    if room < config.limits.connections_max {
        tracing::warn!(connections_max = room, "the limit of open files leaves room for fewer connections");
        config.limits.connections_max = room;
    }
    let mut signals = Signals::listen().context("failed to listen for signals")?;
    let listener =
        TcpListener::bind(&config.listen[..]).await.context("failed to listen on the address of 'listen'")?;
    let address = listener.local_addr().context("failed to read the address")?;
    let engine = Engine::open(&config.data, config.engine).await?;
    engine.ensure_tenants(&config.keyring.tenants()).await?;
    let requests = Requests::answer(&config.data, Arc::clone(&engine.clock))?;
    let metrics = Arc::new(Metrics::new());
    let Running { pipeline, reads, settings } = engine.start(config.limits, config.rule, Arc::clone(&metrics)).await?;
    let state = ApiState::new(Arc::clone(&pipeline), reads, settings, config.keyring, metrics, config.cache);
    let router = api::router(state);
    tracing::info!(data = %config.data.display(), profile = %config.profile, "listening on http://{address}");

    let ending = api::serve(listener, router, pipeline.limits(), signals.ending(&pipeline)).await;
    drop(requests);
    match ending {
        Ending::Failed(reason) => {
            tracing::error!(reason, "stopped: nothing more can be made durable; start again to recover");
            Ok(ExitCode::from(EXIT_FAILED))
        }
        Ending::Asked(signal) => {
            tracing::info!("{signal}: connections are closed, flushing");
            tokio::select! {
                finished = finish(pipeline, engine) => finished,
                signal = signals.next() => {
                    tracing::warn!(signal, "stopped before the flush; the next start replays the journal");
                    Ok(ExitCode::from(EXIT_IMPATIENT))
                }
            }
        }
    }
}

/// Makes everything durable in the ledger, so that the next start has nothing to replay.
async fn finish(pipeline: Arc<Pipeline>, engine: Engine) -> anyhow::Result<ExitCode> {
    pipeline.shutdown().await?;
    drop(pipeline);
    engine.close().await?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

//! `nilometer serve`: from an open folder to the last flush.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use api::ApiState;
use pipeline::{Metrics, Pipeline};
use tokio::net::TcpListener;

use crate::assemble::Engine;
use crate::config::Config;
use crate::shutdown::{Ending, Signals};

/// The process stopped itself, because it could not keep its promises any more.
const EXIT_FAILED: u8 = 70;
/// A second signal did not wait for the end that the first one asked for.
const EXIT_IMPATIENT: u8 = 1;

/// Serves until a signal or a failure.
pub(super) async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen().context("failed to listen for signals")?;
    let listener =
        TcpListener::bind(&config.listen[..]).await.context("failed to listen on the address of 'listen'")?;
    let address = listener.local_addr().context("failed to read the address")?;
    let engine = Engine::open(&config.data, config.engine).await?;
    engine.ensure_tenants(&config.keyring.tenants()).await?;
    let metrics = Arc::new(Metrics::new());
    let pipeline = engine.start(config.limits, config.rule, Arc::clone(&metrics));
    let router = api::router(ApiState::new(Arc::clone(&pipeline), config.keyring, metrics));
    tracing::info!(data = %config.data.display(), profile = %config.profile, "listening on http://{address}");

    let mut ending = None;
    let ended = async { ending = Some(signals.ending(&pipeline).await) };
    api::serve(listener, router, pipeline.limits(), ended).await;
    match ending {
        Some(Ending::Failed(reason)) => {
            tracing::error!(reason, "stopped: nothing more can be made durable; start again to recover");
            Ok(ExitCode::from(EXIT_FAILED))
        }
        Some(Ending::Asked(_)) | None => {
            tokio::select! {
                flushed = finish(&pipeline) => flushed,
                signal = signals.next() => {
                    tracing::warn!(signal, "stopped before the flush; the next start replays the journal");
                    Ok(ExitCode::from(EXIT_IMPATIENT))
                }
            }
        }
    }
}

async fn finish(pipeline: &Pipeline) -> anyhow::Result<ExitCode> {
    tracing::info!("connections are closed, flushing");
    pipeline.shutdown().await?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

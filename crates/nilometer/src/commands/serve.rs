//! `nilometer serve`: from an open folder to the last flush.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use api::ApiState;
use pipeline::{Metrics, Pipeline};
use tokio::net::TcpListener;

use super::verify;
use crate::admin::Requests;
use crate::assemble::{Engine, Running};
use crate::config::Config;
use crate::exit::Exit;
use crate::files;
use crate::folder::{self, IfCopy};
use crate::shutdown::{Ending, Signals};

/// Serves until a signal or a failure.
pub(super) async fn serve(mut config: Config, recover_copy: bool) -> anyhow::Result<ExitCode> {
    let room = files::room_for_connections();
    if room < config.limits.connections_max {
        tracing::warn!(connections_max = room, "the limit of open files leaves room for fewer connections");
        config.limits.connections_max = room;
    }
    let mut signals = Signals::listen().context("failed to listen for signals")?;
    let listener =
        TcpListener::bind(&config.listen[..]).await.context("failed to listen on the address of 'listen'")?;
    let address = listener.local_addr().context("failed to read the address")?;
    if recover_copy && folder::is_copy(&config.data)? {
        tracing::info!(data = %config.data.display(), "checking the copy of a folder that was open");
        if let Some(difference) = verify::verify_folder(&config.data, IfCopy::Recover).await? {
            return Ok(difference.into());
        }
    }
    let engine = Engine::open(&config.data, config.engine).await?;
    engine.ensure_tenants(&config.keyring.tenants()).await?;
    let requests = Requests::answer(&config.data, Arc::clone(&engine.clock))?;
    let metrics = Arc::new(Metrics::new());
    let Running { pipeline, reads, settings } = engine.start(config.limits, config.rule, Arc::clone(&metrics)).await?;
    let (keyring, secret) = (config.keyring, engine.ledger.identity().key);
    let state =
        ApiState::new(Arc::clone(&pipeline), reads, settings, keyring, Arc::clone(&metrics), config.cache, &secret);
    let router = api::router(state);
    tracing::info!(data = %config.data.display(), profile = %config.profile, "listening on http://{address}");

    let ending = api::serve(listener, router, pipeline.limits(), metrics, signals.ending(&pipeline)).await;
    drop(requests);
    match ending {
        Ending::Failed(reason) => {
            tracing::error!(reason, "stopped: nothing more can be made durable; start again to recover");
            Ok(Exit::Stopped.into())
        }
        Ending::Asked(signal) => {
            tracing::info!("{signal}: connections are closed, flushing");
            tokio::select! {
                finished = finish(pipeline, engine) => finished,
                signal = signals.next() => {
                    tracing::warn!(signal, "stopped before the flush; the next start replays the journal");
                    // It did not wait for the end that the first one asked for.
                    Ok(Exit::Failed.into())
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

//! `nilometer serve`: from an open folder to the last flush.

use std::error::Error;
use std::os::unix::fs::PermissionsExt;
use std::process::ExitCode;
use std::sync::Arc;

use access::control::EncryptionOfRegister;
use anyhow::Context;
use api::{ApiParts, ApiState, MetricsReaders, Serving, Tls, TlsError};
use domain::access::audit::Cause;
use pipeline::{Metrics, Pipeline};
use tokio::net::TcpListener;

use super::{erasures, verify};
use crate::admin::Requests;
use crate::assemble::{Engine, Running};
use crate::config::{Config, ConfigError, MetricsAccess, TlsFiles};
use crate::exit::Exit;
use crate::files;
use crate::folder::{self, IfCopy};
use crate::register;
use crate::secrets;
use crate::shutdown::{Ending, Signals};

/// What others than the owner and the group may do with a file.
const OTHERS: u32 = 0o007;

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
    if recover_copy && folder::is_copy(&config.data)? && !config.recovers_journal() {
        tracing::info!(data = %config.data.display(), "checking the copy of a folder that was open");
        if let Some(difference) = verify::verify_folder(&config.data, IfCopy::Recover).await? {
            return Ok(difference.into());
        }
    }
    let tls = config.tls.map(tls).transpose()?;
    let engine = Engine::open(&config.data, config.engine).await?;
    engine.ensure_tenants(&config.keyring.tenants(), &Cause::server()).await?;
    let requests = Requests::answer(&config.data, Arc::clone(&engine.clock))?;
    let metrics = Arc::new(Metrics::new());
    let access = register::open(&engine, &config.access, config.keyring, None).await?;
    let encryption = Arc::new(EncryptionOfRegister(Arc::clone(&access)));
    let Running { pipeline, reads, settings } = engine.start(config.limits, Arc::clone(&metrics), encryption).await?;
    let keeping_up = tokio::spawn(Arc::clone(&access).keep_up());
    let clearing = tokio::spawn(Arc::clone(&access).keep_clearing());
    let state = ApiState::new(ApiParts {
        pipeline: Arc::clone(&pipeline),
        reads,
        settings,
        access: Arc::clone(&access),
        erasures: engine.erasures.clone(),
        metrics: Arc::clone(&metrics),
        cache: config.cache,
        cookie: config.access.cookie,
        metrics_readers: metrics_readers(&config.access.metrics)?,
        secret: &engine.key,
    });
    let base_path = config.web.base_path.clone();
    erasures::go_on(&engine, &access, &state).await?;
    let router = api::router(state, config.web);
    let scheme = if tls.is_some() { "https" } else { "http" };
    let profile = config.profile;
    tracing::info!(data = %config.data.display(), %profile, "listening on {scheme}://{address}{base_path}");

    let serving = Serving { limits: pipeline.limits().clone(), metrics, base_path, tls };
    let ending = api::serve(listener, router, serving, signals.ending(&pipeline)).await;
    drop(requests);
    keeping_up.abort();
    clearing.abort();
    access.store_uses().await;
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

/// Who reads the server's own metrics, by the setting.
fn metrics_readers(setting: &MetricsAccess) -> anyhow::Result<MetricsReaders> {
    Ok(match setting {
        MetricsAccess::Everyone => MetricsReaders::Everyone,
        MetricsAccess::Token(file) => MetricsReaders::Token(file.as_deref().map(secrets::token_hash).transpose()?),
    })
}

/// Reads the certificate and its key. A key that others can read is a warning.
fn tls(TlsFiles { certificate, key }: TlsFiles) -> anyhow::Result<Tls> {
    if std::fs::metadata(&key).is_ok_and(|found| found.permissions().mode() & OTHERS != 0) {
        tracing::warn!(file = %key.display(), "others than the owner and the group can read or change tls_key_file");
    }
    Tls::load(certificate, key).map_err(|error| {
        let setting = if matches!(error, TlsError::Certificate { .. }) { "tls_cert_file" } else { "tls_key_file" };
        let why = error.source().map(|why| format!(": {why}")).unwrap_or_default();
        ConfigError::new(format!("{setting}: {error}{why}")).into()
    })
}

/// Makes everything durable in the ledger, so that the next start has nothing to replay.
async fn finish(pipeline: Arc<Pipeline>, engine: Engine) -> anyhow::Result<ExitCode> {
    pipeline.shutdown().await?;
    drop(pipeline);
    engine.close().await?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

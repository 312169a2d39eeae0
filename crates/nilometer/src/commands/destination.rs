//! Where `import` and `seed` take events to: the folder of a stopped server, whose pipeline runs in
//! this process as it does in the server, or a running server.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use domain::access::audit::Cause;
use domain::limits::Limits;
use domain::tenant::{TenantId, TenantScope};
use pipeline::{Metrics, Pipeline};
use ports::clock::Clock;

use crate::assemble::Engine;
use crate::cli::DestinationArgs;
use crate::client::HttpClient;
use crate::config::{CONFIG_VARIABLE, Config, ConfigError, data_folder};
use crate::import::files::RowSource;
use crate::import::into_folder;
use crate::import::into_server::{self, SendOptions};
use crate::import::session::ImportSession;
use crate::logging;
use crate::register;

/// What is logged while a folder is written: nothing but trouble.
const LOG_LEVEL: &str = "warn";
/// The environment variable that names the folder.
const DATA_VARIABLE: &str = "NILOMETER_DATA";

/// An open destination.
pub(super) enum Destination {
    Folder { data: PathBuf, engine: Box<Engine>, pipeline: Arc<Pipeline>, scope: TenantScope, strict: bool },
    Server { client: Box<HttpClient>, options: SendOptions },
}

impl Destination {
    /// Opens what `args` name; if `strict`, events that look like a mistake are refused.
    pub(super) async fn open(args: DestinationArgs, strict: bool) -> anyhow::Result<Self> {
        if let Some(url) = &args.url {
            let client = HttpClient::new(url, args.key.as_deref(), args.ca.as_deref());
            let client = client.context(ConfigError::new(format!("--url {url}")))?;
            client.reach().await?;
            let retry_timeout = Duration::from_secs(args.retry_sec);
            let options = SendOptions { connections: args.connections, retry_timeout, strict };
            return Ok(Self::Server { client: Box::new(client), options });
        }
        let tenant = args.tenant.as_deref().map_or_else(|| Ok(TenantId::default_tenant()), TenantId::parse);
        let tenant = tenant.map_err(|why| ConfigError::new(format!("--tenant: {why}")))?;
        let mut config = Config::of_folder(or_environment(args.config, CONFIG_VARIABLE)?.as_deref())?;
        LOG_LEVEL.clone_into(&mut config.log.level);
        logging::start(&config.log)?;
        let data = data_folder(or_environment(args.data, DATA_VARIABLE)?)?;
        let engine = Engine::open_to_load(&data, config.engine).await?;
        engine.ensure_tenants(std::slice::from_ref(&tenant), &Cause::command()).await?;
        if let Some(doubt) = engine.clock.doubt() {
            anyhow::bail!(
                "the clock shows {}, which is before {}, the last time known to {}: set the clock right, or start the \
                 server and run `nilometer admin accept-clock` if it is right",
                doubt.wall,
                doubt.trusted,
                data.display()
            );
        }
        let encryption = register::encryption(&engine, &config.access).await?;
        let pipeline = engine.start(config.limits, Arc::new(Metrics::new()), encryption).await?.pipeline;
        Ok(Self::Folder { data, engine: Box::new(engine), pipeline, scope: TenantScope::for_operator(tenant), strict })
    }

    /// The limits that rows are read with; the admission of a server may have closer ones.
    pub(super) fn limits(&self) -> Limits {
        match self {
            Self::Folder { pipeline, .. } => pipeline.limits().clone(),
            Self::Server { .. } => Limits::default(),
        }
    }

    /// A name for the destination that no other has: an import into another one is another import.
    pub(super) fn identity(&self) -> String {
        match self {
            Self::Folder { scope, .. } => scope.tenant().to_string(),
            Self::Server { client, .. } => client.identity(),
        }
    }

    /// The folder, if it is one.
    pub(super) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder { data, .. } => Some(data),
            Self::Server { .. } => None,
        }
    }

    /// Takes everything that `source` gives.
    pub(super) async fn load(&self, source: impl RowSource, session: &mut ImportSession) -> anyhow::Result<()> {
        match self {
            Self::Folder { pipeline, scope, strict, .. } => {
                into_folder::load(pipeline, scope, source, *strict, session).await
            }
            Self::Server { client, options } => into_server::load(client, *options, source, session).await,
        }
    }

    /// Makes everything durable where it belongs, so that the server has nothing to replay.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        let Self::Folder { engine, pipeline, .. } = self else { return Ok(()) };
        pipeline.shutdown().await?;
        drop(pipeline);
        engine.close().await
    }
}

/// The path of a flag, else of the environment. Read here and not by the command line, which could not tell
/// a flag that contradicts another one from an environment that is there for other commands too.
pub(super) fn or_environment(flag: Option<PathBuf>, variable: &str) -> Result<Option<PathBuf>, ConfigError> {
    let path = flag.or_else(|| std::env::var_os(variable).map(PathBuf::from));
    match path {
        Some(path) if path.as_os_str().is_empty() => {
            Err(ConfigError::new(format!("environment variable {variable} is empty")))
        }
        path => Ok(path),
    }
}

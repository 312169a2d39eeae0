//! Log lines on standard error: for people, or one JSON document each.

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// Starts logging; call it once.
pub(crate) fn start(config: &LogConfig) -> anyhow::Result<()> {
    // Libraries log every start or frame; they are quieter unless the level names them.
    let filter = format!("sea_orm_migration=warn,sqlx=warn,h2=warn,{}", config.level);
    let filter = EnvFilter::try_new(filter).context("failed to read log_level")?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match config.format {
        LogFormat::Json => log.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
        LogFormat::Human => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
    };
    started.map_err(|why| anyhow::anyhow!("failed to start logging: {why}"))
}

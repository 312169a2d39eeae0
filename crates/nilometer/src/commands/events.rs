//! `nilometer events`: raw events of a stopped server, as the API shows them, one per line.

use std::io::{BufWriter, ErrorKind, Write};
use std::process::ExitCode;

use anyhow::Context;
use api::EventBody;
use domain::limits::PAGE_ROWS_MAX;
use domain::tenant::{TenantId, TenantScope};
use domain::time::{TimeRange, Timestamp};
use ports::reports::{EventFilter, EventQuery, Order, Reports};

use crate::assemble::Engine;
use crate::cli::{EventsArgs, EventsCommand, FirstArg};
use crate::config::ConfigError;

/// Prints the events that the command asks for.
pub(super) async fn events(command: EventsCommand) -> anyhow::Result<ExitCode> {
    let (args, order, limit) = match command {
        EventsCommand::List { filter, limit, first: FirstArg::Newest } => (filter, Order::Descending, limit),
        EventsCommand::List { filter, limit, first: FirstArg::Oldest } => (filter, Order::Ascending, limit),
    };
    let tenant = TenantId::parse(&args.tenant).map_err(|why| ConfigError::new(format!("--tenant: {why}")))?;
    let engine = Engine::open_existing(&args.folder.data).await?;
    let query = EventQuery { filter: filter(args)?, order, after: None, limit: 0, bytes_max: usize::MAX };
    engine.catch_up().await?;
    let scope = TenantScope::for_operator(tenant);
    let mut out = BufWriter::new(std::io::stdout().lock());
    let printed = print(&*engine.ledger, &scope, query, limit, &mut out).await;
    engine.close().await?;
    match printed {
        // The reader of the pipe has seen enough, as in `nilometer events list | head`.
        Err(why) if why.downcast_ref::<std::io::Error>().is_some_and(|why| why.kind() == ErrorKind::BrokenPipe) => {
            Ok(ExitCode::SUCCESS)
        }
        done => done.map(|()| ExitCode::SUCCESS),
    }
}

async fn print(
    reports: &dyn Reports,
    scope: &TenantScope,
    mut query: EventQuery,
    limit: usize,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut left = limit;
    while left > 0 {
        query.limit = left.min(PAGE_ROWS_MAX);
        let page = reports.events(scope, &query).await?;
        left -= page.rows.len();
        for event in page.rows {
            let line = serde_json::to_vec(&EventBody::new(scope, event)?)?;
            out.write_all(&line)?;
            out.write_all(b"\n")?;
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    Ok(out.flush()?)
}

/// The events that `args` ask for.
pub(super) fn filter(args: EventsArgs) -> anyhow::Result<EventFilter> {
    let instant = |flag: &str, text: Option<String>, absent: Timestamp| {
        let Some(text) = text else { return Ok(absent) };
        Timestamp::parse(&text).map_err(|why| ConfigError::new(format!("{flag} is {why}")))
    };
    let from = instant("--from", args.from, Timestamp::MIN)?;
    let to = instant("--to", args.to, Timestamp::MAX)?;
    let range = TimeRange::new(from, to).context(ConfigError::new("--from must not be after --to"))?;
    let EventsArgs { customer, user, kind, endpoint, project, .. } = args;
    Ok(EventFilter { range, customer, user, kind, endpoint, project })
}

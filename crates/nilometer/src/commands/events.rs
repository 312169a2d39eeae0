//! `nilometer events`: raw events of a stopped server, as the API shows them, one per line.

use std::io::{BufWriter, ErrorKind, Write};
use std::process::ExitCode;

use anyhow::Context;
use api::EventBody;
use domain::access::audit::Cause;
use domain::access::record::Record;
use domain::calendar::{Calendar, TimeBound, WeekStart, Zone};
use domain::encryption::Lens;
use domain::limits::PAGE_ROWS_MAX;
use domain::tenant::{TenantId, TenantScope};
use domain::time::{TimeRange, Timestamp};
use ports::clock::Clock;
use ports::register::{RegisterCommit, Revision};
use ports::reports::{EventFilter, EventQuery, Order, Reports};
use serde_json::{Map, Value};

use crate::assemble::Engine;
use crate::cli::{EventsArgs, EventsCommand, FirstArg};
use crate::config::ConfigError;
use crate::folder::IfCopy;

/// Prints the events that the command asks for.
pub(super) async fn events(command: EventsCommand) -> anyhow::Result<ExitCode> {
    let (args, order, limit) = match command {
        EventsCommand::List { filter, limit, first: FirstArg::Newest } => (filter, Order::Descending, limit),
        EventsCommand::List { filter, limit, first: FirstArg::Oldest } => (filter, Order::Ascending, limit),
    };
    let tenant = TenantId::parse(&args.tenant).map_err(|why| ConfigError::new(format!("--tenant: {why}")))?;
    let (data, scope) = (args.folder.data()?, TenantScope::for_operator(tenant));
    let asked = asked(&args, order, limit);
    let requested = RequestedEvents::read(args)?;
    let engine = Engine::open_existing(&data, IfCopy::Refuse).await?;
    let filter = requested.filter(engine.ledger.applied_zone(&scope).zone)?;
    let query = EventQuery { filter, order, after: None, limit: 0, bytes_max: usize::MAX };
    engine.catch_up().await?;
    note_read(&engine, &scope, asked).await?;
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

/// Adds the read to the audit log of a workspace that asks for that. Nothing is printed before it is durable.
async fn note_read(engine: &Engine, scope: &TenantScope, asked: Map<String, Value>) -> anyhow::Result<()> {
    let store = engine.register_store();
    let mut audits_reads = false;
    let mut look = |record| match record {
        Record::Workspace(workspace) if workspace.id == *scope.tenant() => audits_reads = workspace.audits_reads,
        _ => {}
    };
    store.load(Revision::default(), &mut look).await?;
    if audits_reads {
        let draft = Cause::command().draft(Some(scope.tenant()), engine.clock.now(), "events.read", "events list");
        let audit = vec![draft.changing(None, Some(Value::Object(asked).to_string()))];
        store.commit(&RegisterCommit { audit, ..RegisterCommit::default() }).await?;
    }
    Ok(())
}

/// What the command asks for, as its log says it: the filters that are given, the order, and how many at most.
fn asked(args: &EventsArgs, order: Order, limit: usize) -> Map<String, Value> {
    let EventsArgs { from, to, customer, user, kind, endpoint, project, .. } = args;
    let filters = [
        ("from", from),
        ("to", to),
        ("customer", customer),
        ("user", user),
        ("type", kind),
        ("endpoint", endpoint),
        ("project", project),
    ];
    let given = filters.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?.into())));
    let first = if order == Order::Descending { "newest" } else { "oldest" };
    given.chain([("first".to_owned(), first.into()), ("limit".to_owned(), limit.into())]).collect()
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
            let line = serde_json::to_vec(&EventBody::new(scope, event, &Lens::HIDING)?)?;
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

/// The events that a command asks for, as far as that can be told without the folder, which knows the zone.
pub(super) struct RequestedEvents {
    from: Option<TimeBound>,
    to: Option<TimeBound>,
    filter: EventFilter,
}

fn bound(flag: &str, text: Option<&String>) -> anyhow::Result<Option<TimeBound>> {
    let bound = text.map(|text| TimeBound::parse(text)).transpose();
    Ok(bound.map_err(|why| ConfigError::new(format!("{flag} is {why}")))?)
}

impl RequestedEvents {
    /// Reads the arguments.
    pub(super) fn read(args: EventsArgs) -> anyhow::Result<Self> {
        let from = bound("--from", args.from.as_ref())?;
        let to = bound("--to", args.to.as_ref())?;
        let EventsArgs { customer, user, kind, endpoint, project, .. } = args;
        let filter = EventFilter { range: TimeRange::ALL, customer, user, kind, endpoint, project };
        Ok(Self { from, to, filter })
    }

    /// The filter, with days and times of `zone`: `from` begins with its day, `to` includes it.
    pub(super) fn filter(self, zone: Zone) -> anyhow::Result<EventFilter> {
        let Self { from, to, filter } = self;
        let calendar = Calendar { zone, week_start: WeekStart::default() };
        let from = from.map_or(Timestamp::MIN, |from| from.start(&calendar));
        let to = to.map_or(Timestamp::MAX, |to| to.end(&calendar));
        let range = TimeRange::new(from, to).context(ConfigError::new("--from must not be after --to"))?;
        Ok(EventFilter { range, ..filter })
    }
}

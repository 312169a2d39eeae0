//! A server on a port of its own, and a client that shows what it got.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use access::control::{EncryptionOfRegister, NewKey};
use access::external::ExternalVerifier;
use access::master_key::MasterKey;
use access::tokens::TokenNames;
use access::{AccessControl, AccessParts, By};
use api::{ApiParts, ApiState, CacheTimes, MetricsReaders, Serving, SessionCookie, Tls, WebOptions};
use domain::access::audit::Cause;
use domain::access::key_text::KeyPurpose;
use domain::access::principal::{Principal, Subject};
use domain::access::rights::{KeyScope, KeyScopes, Rights};
use domain::event::EventId;
use domain::limits::Limits;
use domain::tenant::{Keyring, TenantId, TenantScope};
use domain::time::Timestamp;
use domain::window::WindowRule;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HeaderMap;
use hyper_util::rt::TokioIo;
use live::MemoryLive;
use pipeline::{
    FairLimiter, Gated, IngestRole, LiveRole, Metrics, Pipeline, PipelineParts, ReadPorts, Settings, TrustedClock,
    WorkerRole,
};
use ports::ErrorKind;
use ports::active_users::ActiveUsers;
use ports::analytics::Analytics;
use ports::live::Live;
use ports::references::References;
use ports::reports::Reports;
use ports::testing::catalog::MemoryCatalog;
use ports::testing::clock::ManualClock;
use ports::testing::journal::{AppendFault, MemoryJournal};
use ports::testing::ledger::MemoryLedger;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::statuses::DocumentedStatuses;

/// Where the clock stands at first: a Saturday, 10 s into a window.
pub(crate) const NOW: &str = "2026-11-21T10:00:10Z";
/// Keys of the tenants `a` and `b`, which may do everything that a key may; requests without one act as `default`.
pub(crate) const KEY_A: &str = "key-of-tenant-a-for-tests";
pub(crate) const KEY_B: &str = "key-of-tenant-b-for-tests";
/// The key of tenant `c`, where there is one.
pub(crate) const KEY_C: &str = "key-of-tenant-c-for-tests";

/// How a server is reached, and by whom.
pub(crate) struct Reach {
    pub(crate) web: WebOptions,
    pub(crate) tls: Option<Tls>,
    pub(crate) cookie: SessionCookie,
    pub(crate) metrics_readers: MetricsReaders,
    pub(crate) external: Option<ExternalVerifier>,
    /// Keys that are registered, each with its workspace and all scopes.
    pub(crate) keys: Vec<(&'static str, &'static str)>,
}

impl Default for Reach {
    fn default() -> Self {
        Self {
            web: WebOptions::default(),
            tls: None,
            cookie: SessionCookie::Loopback,
            metrics_readers: MetricsReaders::Everyone,
            external: None,
            keys: Vec::new(),
        }
    }
}

/// The keys of the tenants `a` and `b`, without which nobody is served.
pub(crate) fn keys_alone() -> Keyring {
    let mut keyring = Keyring::new();
    keyring.add(TenantId::parse("a").unwrap(), KEY_A).unwrap();
    keyring.add(TenantId::parse("b").unwrap(), KEY_B).unwrap();
    keyring
}

pub(crate) struct TestApi {
    pub(crate) address: SocketAddr,
    pub(crate) clock: Arc<ManualClock>,
    /// Who may do what.
    pub(crate) access: Arc<AccessControl>,
    catalog: Arc<MemoryCatalog>,
    ledger: Arc<MemoryLedger>,
    journal: Arc<MemoryJournal>,
    /// The server's gate.
    pub(crate) limiter: FairLimiter,
    /// Fails the test when an answer has a status that the document lacks.
    #[expect(dead_code, reason = "it is dropped")]
    statuses: DocumentedStatuses,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
}

impl TestApi {
    /// The catalog, to let its writes fail.
    pub(crate) fn catalog(&self) -> &MemoryCatalog {
        &self.catalog
    }

    /// The ledger, to hold its erasures or let them fail.
    pub(crate) fn ledger(&self) -> &MemoryLedger {
        &self.ledger
    }

    pub(crate) async fn start() -> Self {
        Self::with(Limits::default()).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        let keys = vec![("a", KEY_A), ("b", KEY_B)];
        Self::reached(limits, Keyring::new().with_anonymous_default(), Reach { keys, ..Reach::default() }).await
    }

    /// A server whose sums come from `analytics`.
    pub(crate) async fn with_analytics(analytics: Arc<dyn Analytics>) -> Self {
        let keyring = Keyring::new().with_anonymous_default();
        let change = |reads: &mut ReadPorts, limiter| reads.analytics = Gated::new(analytics, limiter);
        Self::with_questions(Limits::default(), keyring, None, Reach::default(), change).await
    }

    /// A server whose days of users come from `active_users`.
    pub(crate) async fn with_active_users(active_users: Arc<dyn ActiveUsers>) -> Self {
        let keyring = Keyring::new().with_anonymous_default();
        let change = |reads: &mut ReadPorts, limiter| reads.active_users = Gated::new(active_users, limiter);
        Self::with_questions(Limits::default(), keyring, None, Reach::default(), change).await
    }

    /// A server whose reference tables are kept by `references`, with a third tenant.
    pub(crate) async fn with_references(references: Arc<dyn References>) -> Self {
        let keyring = Keyring::new().with_anonymous_default();
        let reach = Reach { keys: vec![("a", KEY_A), ("b", KEY_B), ("c", KEY_C)], ..Reach::default() };
        Self::with_questions(Limits::default(), keyring, Some(references), reach, |_, _| {}).await
    }

    pub(crate) async fn with_keys(limits: Limits, keyring: Keyring) -> Self {
        Self::reached(limits, keyring, Reach::default()).await
    }

    /// A server that is reached in another way.
    pub(crate) async fn reached(limits: Limits, keyring: Keyring, reach: Reach) -> Self {
        Self::with_questions(limits, keyring, None, reach, |_, _| {}).await
    }

    async fn with_questions(
        limits: Limits,
        keyring: Keyring,
        references: Option<Arc<dyn References>>,
        reach: Reach,
        change: impl FnOnce(&mut ReadPorts, FairLimiter),
    ) -> Self {
        let rule = WindowRule::default();
        let clock = Arc::new(ManualClock::new(Timestamp::parse(NOW).unwrap()));
        let journal = Arc::new(MemoryJournal::default());
        let (ledger, catalog) = (Arc::new(MemoryLedger::new(rule)), Arc::new(MemoryCatalog::default()));
        let limiter = FairLimiter::new();
        let mut reads = ReadPorts::of(&ledger, &limiter);
        change(&mut reads, limiter.clone());
        let days = Arc::new(reads.active_users.clone());
        let trusted = TrustedClock::start(clock.clone(), None, limits.clock_drift_us_max);
        let settings = Settings::new(catalog.clone(), days, ledger.clone(), trusted.clone(), Vec::new());
        let settings = Arc::new(settings);
        let live: Arc<dyn Live> = Arc::new(MemoryLive::new(1_800));
        let access = access(&catalog, &clock, keyring, reach.external, reach.keys).await;
        let parts = PipelineParts {
            ledger: ledger.clone(),
            clock: trusted,
            limits: limits.clone(),
            rule,
            limiter: limiter.clone(),
            ingest: Some(IngestRole {
                journal: journal.clone(),
                reports: reads.reports.clone(),
                fates: None,
                settings: Arc::clone(&settings),
                encryption: Arc::new(EncryptionOfRegister(Arc::clone(&access))),
                key: [7; 16],
            }),
            worker: Some(WorkerRole { journal: journal.clone(), live: Arc::clone(&live) }),
            live: Some(LiveRole {
                live,
                reports: ledger.clone(),
                catalog: catalog.clone(),
                references: references.unwrap_or_else(|| catalog.clone()),
            }),
        };
        let metrics = Arc::new(Metrics::new());
        let pipeline = Pipeline::start(parts, Arc::clone(&metrics));
        let (cache, figures) = (CacheTimes::default(), Arc::clone(&metrics));
        let state = ApiState::new(ApiParts {
            pipeline,
            reads,
            settings,
            access: Arc::clone(&access),
            erasures: ledger.clone(),
            metrics: figures,
            cache,
            cookie: reach.cookie,
            metrics_readers: reach.metrics_readers,
            secret: &[7; 16],
        });
        let statuses = DocumentedStatuses::new();
        let base_path = reach.web.base_path.clone();
        let router = statuses.watch(api::router(state, reach.web));
        let serving = Serving { limits, metrics, base_path, tls: reach.tls };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(async move { api::serve(listener, router, serving, asked_to_stop(stopped)).await });
        Self { address, clock, access, catalog, ledger, journal, limiter, statuses, stop: Some(stop), server }
    }

    /// A server whose live view is whole.
    pub(crate) async fn live(limits: Limits) -> Self {
        let api = Self::with(limits).await;
        while api.get("/v1/live").await.status == 503 {}
        api
    }

    /// How often the register, the audit log and the ledger were asked for anything.
    pub(crate) fn calls(&self) -> u64 {
        self.catalog.calls() + self.ledger.questions()
    }

    /// The properties of an event as they are stored.
    pub(crate) async fn stored_properties(&self, scope: &TenantScope, id: &str) -> String {
        let event = self.ledger.event(scope, EventId::native(id)).await.unwrap().unwrap();
        event.properties.unwrap()
    }

    /// Makes the journal refuse every append from now on, or none.
    pub(crate) fn refuse(&self, with: Option<ErrorKind>) {
        self.journal.fail_appends(with.map(|kind| AppendFault { kind, kept: false }));
    }

    /// Asks the server to stop; the returned handle ends when it has.
    pub(crate) fn stop(mut self) -> JoinHandle<()> {
        let _ = self.stop.take().unwrap().send(());
        self.server
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], "").await
    }

    /// Posts JSON and waits until it is applied.
    pub(crate) async fn post(&self, path: &str, body: impl Into<Bytes>) -> Reply {
        self.send("POST", &format!("{path}?wait=applied"), &[("content-type", "application/json")], body).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", "localhost");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let response = tokio::time::timeout(Duration::from_secs(20), client.send_request(request)).await;
        let (parts, body) = response.unwrap().unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply { status: parts.status.as_u16(), headers: parts.headers, body }
    }
}

/// Ends when the server is to.
async fn asked_to_stop(stopped: oneshot::Receiver<()>) {
    let _ = stopped.await;
}

/// A register over `catalog`, with these keys in it.
async fn access(
    catalog: &Arc<MemoryCatalog>,
    clock: &Arc<ManualClock>,
    configured: Keyring,
    external: Option<ExternalVerifier>,
    keys: Vec<(&str, &str)>,
) -> Arc<AccessControl> {
    let access = AccessControl::load(AccessParts {
        store: catalog.clone(),
        clock: clock.clone(),
        master: MasterKey::parse(&"07".repeat(32)).unwrap(),
        configured,
        command: None,
        names: TokenNames { issuer: "nilometer".to_owned(), audience: "nilometer".to_owned() },
        external,
    });
    let access = access.await.unwrap();
    for (workspace, key) in keys {
        register(&access, workspace, key).await;
    }
    access
}

/// Makes a workspace, and registers a key of it with all scopes.
async fn register(access: &Arc<AccessControl>, workspace: &str, key: &str) {
    let principal =
        Principal { workspace: None, rights: Rights::of_operator(), subject: Subject::Command, project: None };
    let by = By { principal, cause: Cause::command() };
    let made = access.create_workspace(&by, workspace, None, None).await.unwrap();
    let new = NewKey {
        name: "for tests".to_owned(),
        scopes: KeyScopes::of(&KeyScope::ALL),
        project: None,
        expires: None,
        addresses: Vec::new(),
        purpose: KeyPurpose::Test,
        registered: Some(key.to_owned().into()),
        allows_weak: false,
    };
    access.create_key(&by, Some(&made.id), new, None).await.unwrap();
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body of an answer with status `status`.
    pub(crate) fn json(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The body of a problem with status `status`, checked for everything that all problems have.
    pub(crate) fn problem(&self, status: u16) -> Value {
        let problem = self.json(status);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(problem["status"], status);
        assert!(problem["type"].as_str().unwrap().starts_with("urn:nilometer:problem:"), "{problem}");
        assert!(!problem["title"].as_str().unwrap().is_empty(), "{problem}");
        assert!(!problem["detail"].as_str().unwrap().is_empty(), "{problem}");
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        assert!(!(400..500).contains(&status) || problem["field"].is_string(), "I9: no field: {problem}");
        problem
    }
}

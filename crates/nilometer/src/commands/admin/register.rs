//! Commands on the register. Each is one or two requests of the API, sent to a running server, or to the API over the
//! folder of a stopped one in this process: both check the same and write the same into the audit log.

use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use access::control::{EncryptionOfRegister, IfSealed, MasterReplaced, ReplaceError, replace_master};
use anyhow::{Context, bail};
use api::{ApiParts, ApiState, MetricsReaders, WebOptions};
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use domain::access::email::Email;
use domain::limits::PAGE_ROWS_MAX;
use domain::tenant::Keyring;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request};
use http_body_util::{BodyExt, Limited};
use pipeline::{Metrics, Pipeline};
use ports::clock::Clock;
use serde_json::{Map, Value, json};
use tower::ServiceExt;

use crate::assemble::{Engine, Running};
use crate::cli::{CreateKeyArgs, LimitArg, ListArg, QuotaArgs, QuotaCommand, RegisterArgs, RegisterCommand};
use crate::client::HttpClient;
use crate::commands::destination::or_environment;
use crate::commands::erasures;
use crate::config::{CONFIG_VARIABLE, Config, ConfigError, data_folder};
use crate::folder::{FolderError, IfCopy, MANIFEST_FILE};
use crate::logging;
use crate::register;
use crate::secrets;

/// Longest file with a key, in bytes.
const KEY_FILE_BYTES_MAX: u64 = 64 << 10;
/// Longest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Runs one of them.
pub(super) async fn run(command: RegisterCommand) -> anyhow::Result<ExitCode> {
    match command {
        RegisterCommand::ReplaceMasterKey { folder, old, old_is_lost, .. } => {
            let if_sealed = if old_is_lost { IfSealed::GiveUp } else { IfSealed::Refuse };
            replace_master_key(&folder.data()?, old.as_deref(), if_sealed).await
        }
        RegisterCommand::CreateWorkspace { id, name, owner, at } => {
            let register = Register::open(at, IfMissing::Create).await?;
            let made = create_workspace(&register, &id, name, owner).await;
            register.close(made).await
        }
        RegisterCommand::CreateUser { email, workspace, role, name, at } => {
            let register = Register::open(at, IfMissing::Refuse).await?;
            let body = body([("email", json!(email)), ("role", json!(role)), ("name", json!(name))]);
            let made =
                register.ask(Method::POST, &format!("/v1/workspaces/{}/members", id(&workspace)), Some(body)).await;
            register.close(made).await
        }
        RegisterCommand::CreateKey(args) => create_key(args).await,
        RegisterCommand::RevokeOperatorKey { id: key, at } => {
            let register = Register::open(at, IfMissing::Refuse).await?;
            let revoked = register.ask(Method::DELETE, &format!("/v1/server/keys/{}", id(&key)), None).await;
            register.close(revoked).await
        }
        RegisterCommand::ResetPassword { email, at } => {
            let register = Register::open(at, IfMissing::Refuse).await?;
            let made = reset_password(&register, &email).await;
            register.close(made).await
        }
        RegisterCommand::RotateSigningKey { at } => {
            let register = Register::open(at, IfMissing::Refuse).await?;
            let made = register.ask(Method::POST, "/v1/server/token-keys/rotate", None).await;
            register.close(made).await
        }
        RegisterCommand::Suspend { id, at } => set_status(at, &id, "suspended").await,
        RegisterCommand::Resume { id, at } => set_status(at, &id, "active").await,
        RegisterCommand::Limit { workspace, key, requests_per_sec, events_per_sec, at } => {
            let limits = [("requests_per_sec", requests_per_sec), ("events_per_sec", events_per_sec)];
            set_limits(at, &workspace, key.as_deref(), limits).await
        }
        RegisterCommand::Quota(command) => quota(command).await,
        RegisterCommand::List { what, workspace, at } => {
            let path = match (what, workspace) {
                (ListArg::Keys, Some(of)) => format!("/v1/workspaces/{}/keys", id(&of)),
                (ListArg::Keys, None) => bail!(ConfigError::new("--workspace says whose keys to list")),
                (_, Some(_)) => bail!(ConfigError::new("--workspace is for a list of keys")),
                (ListArg::Workspaces, None) => "/v1/workspaces".to_owned(),
                (ListArg::Users, None) => "/v1/users".to_owned(),
                (ListArg::OperatorKeys, None) => "/v1/server/keys".to_owned(),
            };
            let register = Register::open(at, IfMissing::Refuse).await?;
            let listed = list(&register, &path).await;
            register.close(listed).await
        }
    }
}

async fn replace_master_key(data: &Path, old: Option<&Path>, if_sealed: IfSealed) -> anyhow::Result<ExitCode> {
    let config = Config::of_folder(or_environment(None, CONFIG_VARIABLE)?.as_deref())?;
    let engine = if config.engine.postgres.is_some() {
        Engine::open(data, config.engine).await?
    } else {
        Engine::open_existing(data, IfCopy::Refuse).await?
    };
    let (store, now) = (engine.register_store(), engine.clock.now());
    let replaced = match &config.access.master_key_file {
        // The new one has to be there already: it is not for this program to write to that place.
        Some(named) => {
            let new = secrets::read_master_key(named)?;
            let old = old.map(secrets::read_master_key).transpose()?;
            replace_master(&*store, old.as_ref(), &new, if_sealed, now).await.map_err(told)
        }
        None => {
            secrets::settle_next(data, &*store).await?;
            let old =
                old.map_or_else(|| secrets::own_master_key(data), |old| secrets::read_master_key(old).map(Some))?;
            // Durable before anything is wrapped under it, and in its place only after: a start finds out which one fits.
            let new = secrets::make_next(data)?;
            let replaced = replace_master(&*store, old.as_ref(), &new, if_sealed, now).await;
            match &replaced {
                Ok(_) => secrets::publish_next(data)?,
                Err(ReplaceError::Sealed(_) | ReplaceError::NotNew) => secrets::drop_next(data)?,
                // Whether it was written is not known: the next start finds out.
                Err(ReplaceError::Access(_)) => {}
            }
            replaced.map_err(told)
        }
    };
    engine.close().await?;
    let replaced = replaced?;
    let MasterReplaced { rewrapped, ended, data_keys_lost } = replaced;
    let answer = json!({ "rewrapped": rewrapped, "ended": ended, "data_keys_lost": data_keys_lost });
    writeln!(std::io::stdout(), "{answer:#}")?;
    Ok(ExitCode::SUCCESS)
}

/// The refusal, with what to do about it here.
fn told(why: ReplaceError) -> anyhow::Error {
    let hint = match &why {
        ReplaceError::Sealed(_) => "--old FILE names the old key, and --old-is-lost gives up what it does not open",
        ReplaceError::NotNew => {
            "the file that is set as master_key_file has to hold the new key, and --old names the old one"
        }
        ReplaceError::Access(_) => return why.into(),
    };
    anyhow::Error::new(why).context(format!("nothing was changed; {hint}"))
}

async fn create_workspace(
    register: &Register,
    workspace: &str,
    name: Option<String>,
    owner: Option<String>,
) -> anyhow::Result<Value> {
    if let Some(email) = &owner {
        // First, so that a mistake leaves no workspace without an owner.
        Email::parse(email).map_err(|why| ConfigError::new(format!("--owner {email}: {why}")))?;
    }
    let body_of_workspace = body([("id", json!(workspace)), ("name", json!(name))]);
    let mut made = register.ask(Method::POST, "/v1/workspaces", Some(body_of_workspace)).await?;
    if let Some(email) = owner {
        let path = format!("/v1/workspaces/{}/members", id(workspace));
        let owner = body([("email", json!(email)), ("role", json!("owner"))]);
        made["owner"] = register.ask(Method::POST, &path, Some(owner)).await?;
    }
    Ok(made)
}

async fn create_key(args: CreateKeyArgs) -> anyhow::Result<ExitCode> {
    let CreateKeyArgs { workspace, name, scopes, project, expires, addresses, test, register, allow_weak, at, .. } =
        args;
    let registered = register.as_deref().map(read_secret).transpose()?;
    let purpose = if test { "test" } else { "live" };
    let body = body([
        ("name", json!(name)),
        ("scopes", json!(scopes)),
        ("project", json!(project)),
        ("expires", json!(expires)),
        ("addresses", json!(addresses)),
        ("purpose", json!(purpose)),
        ("key", json!(registered)),
        ("allow_weak", json!(allow_weak)),
    ]);
    let if_missing = if workspace.is_none() { IfMissing::Create } else { IfMissing::Refuse };
    let path = workspace.map_or_else(|| "/v1/server/keys".to_owned(), |of| format!("/v1/workspaces/{}/keys", id(&of)));
    let register = Register::open(at, if_missing).await?;
    let made = register.ask(Method::POST, &path, Some(body)).await;
    register.close(made).await
}

/// A whole list, page by page.
async fn list(register: &Register, path: &str) -> anyhow::Result<Value> {
    let (mut all, mut next) = (Vec::new(), None::<String>);
    loop {
        let cursor = next.map(|cursor| format!("&cursor={}", id(&cursor))).unwrap_or_default();
        let mut page = register.ask(Method::GET, &format!("{path}?limit={PAGE_ROWS_MAX}{cursor}"), None).await?;
        match page["data"].take() {
            Value::Array(rows) => all.extend(rows),
            _ => bail!("the answer to {path} is no list"),
        }
        next = page["next_cursor"].as_str().map(str::to_owned);
        if next.is_none() {
            return Ok(json!({ "data": all }));
        }
    }
}

async fn reset_password(register: &Register, email: &str) -> anyhow::Result<Value> {
    let found = register.ask(Method::GET, &format!("/v1/users?email={}", id(email.trim())), None).await?;
    let user = found["data"][0]["id"].as_str().with_context(|| format!("no account has the address {email}"))?;
    register.ask(Method::POST, &format!("/v1/users/{}/password-reset", id(user)), None).await
}

async fn set_status(at: RegisterArgs, workspace: &str, status: &str) -> anyhow::Result<ExitCode> {
    let register = Register::open(at, IfMissing::Refuse).await?;
    let body = body([("status", json!(status))]);
    let changed = register.ask(Method::PATCH, &format!("/v1/workspaces/{}", id(workspace)), Some(body)).await;
    register.close(changed).await
}

async fn set_limits(
    at: RegisterArgs,
    workspace: &str,
    key: Option<&str>,
    limits: [(&str, Option<LimitArg>); 2],
) -> anyhow::Result<ExitCode> {
    let register = Register::open(at, IfMissing::Refuse).await?;
    let value = |limit| match limit {
        LimitArg::Server => Value::Null,
        LimitArg::EachSecond(number) => json!(number),
    };
    // A limit that is null is given too.
    let given = limits.into_iter().filter_map(|(name, limit)| Some((name.to_owned(), value(limit?))));
    let body = Value::Object(given.collect::<Map<_, _>>());
    let workspace = format!("/v1/workspaces/{}", id(workspace));
    let path = key.map_or_else(|| workspace.clone(), |key| format!("{workspace}/keys/{}", id(key)));
    let changed = register.ask(Method::PATCH, &path, Some(body)).await;
    register.close(changed).await
}

async fn quota(command: QuotaCommand) -> anyhow::Result<ExitCode> {
    match command {
        QuotaCommand::SetQuota { which, limit, soft, at } => {
            let QuotaArgs { workspace, customer, measure, period } = which;
            let body = body([
                ("customer", json!(customer)),
                ("measure", json!(measure)),
                ("period", json!(period)),
                ("limit", json!(limit)),
                ("hard", json!(!soft)),
            ]);
            let register = Register::open(at, IfMissing::Refuse).await?;
            let set = register.ask(Method::PUT, &quotas_of(&workspace), Some(body)).await;
            register.close(set).await
        }
        QuotaCommand::RemoveQuota { which: QuotaArgs { workspace, customer, measure, period }, at } => {
            let customer = customer.map_or_else(String::new, |customer| format!("&customer={}", id(&customer)));
            let which = format!("?measure={}&period={}{customer}", id(&measure), id(&period));
            let register = Register::open(at, IfMissing::Refuse).await?;
            let removed = register.ask(Method::DELETE, &format!("{}{which}", quotas_of(&workspace)), None).await;
            register.close(removed).await
        }
        QuotaCommand::ListQuotas { workspace, at } => {
            let register = Register::open(at, IfMissing::Refuse).await?;
            let listed = list(&register, &quotas_of(&workspace)).await;
            register.close(listed).await
        }
    }
}

/// An object of the fields that are given.
fn body<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let given = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(given.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

/// The path of a workspace's quotas.
fn quotas_of(workspace: &str) -> String {
    format!("/v1/workspaces/{}/quotas", id(workspace))
}

/// An id as a part of a path.
fn id(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// What to do about a folder that is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IfMissing {
    Create,
    Refuse,
}

/// Where requests go.
enum Register {
    Server(Box<HttpClient>),
    Folder { engine: Box<Engine>, pipeline: Arc<Pipeline>, router: Router, token: String },
}

impl Register {
    /// Opens what `at` names; a folder that is not there is made for who begins with it, and for nobody else.
    async fn open(at: RegisterArgs, if_missing: IfMissing) -> anyhow::Result<Self> {
        if let Some(url) = &at.url {
            let key = at.key_file.as_deref().map(read_secret).transpose()?;
            let client = HttpClient::new(url, key.as_deref(), at.ca.as_deref());
            return Ok(Self::Server(Box::new(client.context(ConfigError::new(format!("--url {url}")))?)));
        }
        let mut config = Config::of_folder(or_environment(at.config, CONFIG_VARIABLE)?.as_deref())?;
        "warn".clone_into(&mut config.log.level);
        logging::start(&config.log)?;
        let data = data_folder(or_environment(at.data, "NILOMETER_DATA")?)?;
        let is_missing = config.engine.postgres.is_none() && !data.join(MANIFEST_FILE).is_file();
        if if_missing == IfMissing::Refuse && is_missing {
            return Err(FolderError::Missing { folder: data }.into());
        }
        let engine = Engine::open_to_load(&data, config.engine).await?;
        // Known to this process alone, for as long as it runs.
        let token = access::random::base62(43)?;
        let hash = *blake3::hash(token.as_bytes()).as_bytes();
        let access = register::open(&engine, &config.access, Keyring::new(), Some(hash)).await?;
        let metrics = Arc::new(Metrics::new());
        let encryption = Arc::new(EncryptionOfRegister(Arc::clone(&access)));
        let started = engine.start(config.limits, Arc::clone(&metrics), encryption).await?;
        let Running { pipeline, reads, settings } = started;
        let state = ApiState::new(ApiParts {
            pipeline: Arc::clone(&pipeline),
            reads,
            settings,
            access: Arc::clone(&access),
            erasures: engine.erasures.clone(),
            metrics,
            cache: config.cache,
            cookie: config.access.cookie,
            metrics_readers: MetricsReaders::Token(None),
            secret: &engine.key,
        });
        // What else erasures have left in the catalog is for the next start: a command ends before them.
        erasures::end_workspaces(&engine, &access).await?;
        let router = api::router(state, WebOptions::default());
        Ok(Self::Folder { engine: Box::new(engine), pipeline, router, token })
    }

    /// The answer to a request; a refusal is an error that says why.
    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let body = body.map(|body| Bytes::from(body.to_string()));
        let (status, answer) = match self {
            Self::Server(client) => {
                let answer = client.ask(method, path, body).await?;
                (answer.status, answer.body)
            }
            Self::Folder { router, token, .. } => {
                let request = Request::builder().method(method).uri(path);
                let request = request.header(AUTHORIZATION, format!("Bearer {token}"));
                let request = request.header(CONTENT_TYPE, "application/json");
                let response = router.clone().oneshot(request.body(Body::from(body.unwrap_or_default()))?).await?;
                let status = response.status().as_u16();
                let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
                (status, body.map_err(anyhow::Error::from_boxed)?.to_bytes())
            }
        };
        let value: Value = serde_json::from_slice(&answer).unwrap_or_default();
        if (200..300).contains(&status) {
            return Ok(value);
        }
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        if matches!(status, 400 | 422) {
            return Err(ConfigError::new(format!("{} (field '{}')", text("detail"), text("field"))).into());
        }
        bail!("{} (status {status}, field '{}')", text("detail"), text("field"));
    }

    /// Prints an answer, and closes a folder tidily in any case.
    async fn close(self, answer: anyhow::Result<Value>) -> anyhow::Result<ExitCode> {
        if let Self::Folder { engine, pipeline, router, .. } = self {
            drop(router);
            pipeline.shutdown().await?;
            drop(pipeline);
            engine.close().await?;
        }
        writeln!(std::io::stdout(), "{:#}", answer?)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The trimmed text of a file with a key.
fn read_secret(path: &Path) -> anyhow::Result<String> {
    let failed = || format!("failed to read the key in {}", path.display());
    let mut text = String::new();
    let source: Box<dyn Read> = match path.to_str() {
        Some("-") => Box::new(std::io::stdin().lock()),
        _ => Box::new(std::fs::File::open(path).with_context(failed)?),
    };
    #[expect(clippy::disallowed_methods, reason = "bounded by the take")]
    source.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text).with_context(failed)?;
    Ok(text.trim().to_owned())
}

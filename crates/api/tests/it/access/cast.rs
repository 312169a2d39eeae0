//! The people and keys of a test: a workspace `a` with one of each role and scope, a workspace `b`, and the operator.

use std::collections::BTreeMap;

use access::By;
use access::control::NewKey;
use domain::access::audit::Cause;
use domain::access::key_text::KeyPurpose;
use domain::access::principal::{Principal, Subject};
use domain::access::rights::{KeyScope, KeyScopes, Rights, Role};
use domain::limits::Limits;
use domain::tenant::{Keyring, TenantId};
use serde_json::{Value, json};

use crate::harness::{Reach, Reply, TestApi};

/// The password of everyone.
pub(super) const PASSWORD: &str = "correct horse battery";

/// A server without an anonymous tenant, and a credential of each kind.
pub(super) struct Cast {
    pub(super) api: TestApi,
    /// By role, scope, or `operator`: the text for `Authorization: Bearer`.
    pub(super) credentials: BTreeMap<&'static str, String>,
}

/// All kinds of callers, in the order of the table of rights.
pub(super) const CALLERS: [&str; 8] =
    ["viewer", "member", "admin", "owner", "key ingest", "key read", "key admin", "operator"];

pub(super) fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

/// What the one who holds the data folder acts as.
pub(super) fn by() -> By {
    let principal =
        Principal { workspace: None, rights: Rights::of_operator(), subject: Subject::Command, project: None };
    By { principal, cause: Cause::command() }
}

pub(super) fn new_key(scopes: &[KeyScope]) -> NewKey {
    NewKey {
        name: "a key".to_owned(),
        scopes: KeyScopes::of(scopes),
        project: None,
        expires: None,
        addresses: Vec::new(),
        purpose: KeyPurpose::Test,
        registered: None,
        allows_weak: false,
    }
}

impl Cast {
    pub(super) async fn new() -> Self {
        Self::reached(Reach::default()).await
    }

    pub(super) async fn reached(reach: Reach) -> Self {
        Self::start(Limits::default(), Keyring::new(), reach).await
    }

    pub(super) async fn with(configured: Keyring, reach: Reach) -> Self {
        Self::start(Limits::default(), configured, reach).await
    }

    pub(super) async fn limited(limits: Limits, reach: Reach) -> Self {
        Self::start(limits, Keyring::new(), reach).await
    }

    async fn start(limits: Limits, configured: Keyring, reach: Reach) -> Self {
        let api = TestApi::reached(limits, configured, reach).await;
        let mut credentials = BTreeMap::new();
        for workspace in ["a", "b"] {
            api.access.create_workspace(&by(), workspace, None, None).await.unwrap();
        }
        for role in Role::ALL {
            let email = format!("{}@example.com", role.name());
            credentials.insert(role.name(), person(&api, "a", &email, role).await);
        }
        let scopes = [("key ingest", KeyScope::Ingest), ("key read", KeyScope::Read), ("key admin", KeyScope::Admin)];
        for (name, scope) in scopes {
            let made = api.access.create_key(&by(), Some(&tenant("a")), new_key(&[scope]), None).await.unwrap();
            credentials.insert(name, made.text.unwrap().expose().to_owned());
        }
        let made = api.access.create_key(&by(), None, new_key(&[]), None).await.unwrap();
        credentials.insert("operator", made.text.unwrap().expose().to_owned());
        Self { api, credentials }
    }

    pub(super) fn bearer(&self, caller: &str) -> String {
        format!("Bearer {}", self.credentials[caller])
    }

    /// A request of one of them, with a JSON body unless that is null.
    pub(super) async fn ask(&self, caller: &str, method: &str, path: &str, body: Value) -> Reply {
        self.ask_with(caller, method, path, &[], body).await
    }

    pub(super) async fn ask_with(
        &self,
        caller: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> Reply {
        let bearer = self.bearer(caller);
        send(&self.api, &bearer, method, path, headers, body).await
    }
}

/// Sends a request with this `Authorization`, or with none when that is empty.
pub(super) async fn send(
    api: &TestApi,
    authorization: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Value,
) -> Reply {
    let mut all = headers.to_vec();
    if !authorization.is_empty() {
        all.push(("authorization", authorization));
    }
    let body = if body.is_null() { String::new() } else { body.to_string() };
    if !body.is_empty() {
        all.push(("content-type", "application/json"));
    }
    api.send(method, path, &all, body).await
}

/// Makes a person a member of a workspace, sets the password, and logs in: the access token.
pub(super) async fn person(api: &TestApi, workspace: &str, email: &str, role: Role) -> String {
    let made = api.access.add_member(&by(), &tenant(workspace), email, None, role, None).await.unwrap();
    if let Some(reset) = made.reset {
        api.access.reset_password(&by(), reset.token.expose(), PASSWORD).await.unwrap();
    }
    log_in(api, email).await["access_token"].as_str().unwrap().to_owned()
}

pub(super) async fn log_in(api: &TestApi, email: &str) -> Value {
    let body = json!({"email": email, "password": PASSWORD});
    send(api, "", "POST", "/v1/auth/login", &[], body).await.json(200)
}

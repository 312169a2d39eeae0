//! Who a request acts for. Reads the one credential that it carries, asks the register who that is and which
//! workspace is meant, and holds the rights against what the route needs. A handler can reach a tenant's data only
//! through the types here, and the ones that take a key which is bound to a project hand that project over.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use access::control::SignedRequest;
use access::{By, Caller};
use axum::extract::FromRequestParts;
use domain::access::audit::{Actor, Cause};
use domain::access::ids::{SessionId, UserId};
use domain::access::principal::{Principal, Refusal, Subject};
use domain::access::rights::{Permission, Rights};
use domain::rate::{CallerRates, Rate};
use domain::tenant::{CredentialHash, TenantScope};
use http::Method;
use http::header::HeaderValue;
use http::request::Parts;
use http::uri::PathAndQuery;

use super::arrival::{Identified, Proof, SIGNATURE, Shown, address_of, identify, refused, signature};
use super::credential::{bearer, credential, workspace_named};
use crate::browser::{self, OwnOrigin, check_same_origin};
use crate::needs::Needs;
use crate::problem::{Problem, ProblemKind};
use crate::request_tenant::{Access, RequestTenant};
use crate::serve::SentTarget;
use crate::state::ApiState;

/// The id of a request, among its extensions.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) HeaderValue);

/// One who was let in, for what goes on after the answer has begun: whether that is still so.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    api: Arc<ApiState>,
    principal: Principal,
    permission: Permission,
}

impl Standing {
    /// Whoever has sent a request that needs `permission`.
    pub(crate) fn new(api: &Arc<ApiState>, principal: Principal, permission: Permission) -> Self {
        Self { api: Arc::clone(api), principal, permission }
    }

    /// Whether the credential is still taken and the rights still go so far.
    pub(crate) fn lasts(&self) -> bool {
        self.api.access.still_allows(&self.principal, self.permission)
    }
}

/// The tenant of a request that only reads. Refuses keys that are bound to a project.
///
/// A handler says with its extractor what its route does; there is no other way to a tenant.
#[derive(Debug)]
pub(crate) struct ReadScope(pub(crate) TenantScope);

/// The tenant of a request that only reads, and the one project that it may read of if its key is bound to one.
#[derive(Debug)]
pub(crate) struct ProjectScope {
    pub(crate) scope: TenantScope,
    pub(crate) project: BoundProject,
    pub(crate) by: By,
}

/// The tenant of a request whose answer goes on, and whether its caller is still let in. Refuses keys that are bound
/// to a project.
#[derive(Debug)]
pub(crate) struct StreamScope {
    pub(crate) scope: TenantScope,
    pub(crate) standing: Standing,
}

impl FromRequestParts<Arc<ApiState>> for StreamScope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<ApiState>) -> Result<Self, Problem> {
        let (scope, principal) = enter(parts, api, Access::Read, None).await?.unbound()?;
        Ok(Self { scope, standing: Standing::new(api, principal, Permission::ReadAggregates) })
    }
}

/// The tenant of a request that changes something, and who asks for that. Refused before anything is done when the
/// tenant's own answers fill their memory, so that the answer to a change that was made is never refused.
#[derive(Debug)]
pub(crate) struct WriteScope {
    pub(crate) scope: TenantScope,
    pub(crate) by: By,
}

/// Who sends events. Whose they are is told when the body is there, since a signature covers it.
#[derive(Debug)]
pub(crate) struct IngestScope(Entering);

/// Who sends events, as far as it is known without the body.
#[derive(Debug)]
enum Entering {
    Known(Entered),
    Signed(Box<SignedHead>),
}

/// What a signature is held against beside the body, and what is to be looked at when it fits.
#[derive(Debug)]
struct SignedHead {
    signed: SignedRequest,
    method: Method,
    target: String,
    /// The workspace that the request names.
    named: Option<String>,
    address: Option<IpAddr>,
    proof: Proof,
    tenant: Option<RequestTenant>,
}

impl SignedHead {
    fn read(signed: SignedRequest, parts: &Parts) -> Result<Self, Problem> {
        let target = match parts.extensions.get::<SentTarget>() {
            Some(SentTarget(target)) => target.as_str().to_owned(),
            None => parts.uri.path_and_query().map_or("/", PathAndQuery::as_str).to_owned(),
        };
        Ok(Self {
            signed,
            method: parts.method.clone(),
            target,
            named: workspace_named(parts)?.map(Cow::into_owned),
            address: address_of(parts),
            proof: parts.extensions.get::<Proof>().cloned().unwrap_or_default(),
            tenant: parts.extensions.get::<RequestTenant>().cloned(),
        })
    }

    /// The workspace of the request, once its signature fits. Only from then on anything is counted for the secret or the
    /// workspace, held for it or told of it.
    fn enter(self, api: &ApiState, body: &[u8]) -> Result<Entered, Problem> {
        let principal = api.access.check_signed(&self.signed, self.method.as_str(), &self.target, body);
        let caller = Caller::Principal(principal.map_err(|why| Problem::from(why).at(SIGNATURE))?);
        let principal = api.access.enter(&caller, self.named.as_deref()).map_err(|why| refused(why, SIGNATURE))?;
        let scope = principal.workspace.clone().ok_or_else(|| refused(Refusal::WorkspaceRequired, SIGNATURE))?;
        let (limits, rates) = (api.pipeline.rate_limits(), api.access.register().rates_of(&principal));
        let counted = limits.credential(&principal.subject, self.address, rates.key);
        let (standing, sender) = (counted.unwrap_or_default(), Some((scope.tenant().clone(), rates)));
        self.proof.give(Shown { standing, sender });
        counted?;
        limits.workspace(scope.tenant(), rates.workspace.requests)?;
        limits.check_events(scope.tenant(), rates.workspace.events)?;
        if let Some(request) = &self.tenant {
            request.set(scope.tenant(), Access::Write);
        }
        api.write_response_budget.check_own_room(scope.tenant())?;
        Ok(Entered { scope, principal, rates })
    }
}

impl IngestScope {
    /// Whose events these are, and what they are held to.
    ///
    /// # Errors
    /// 401 when the request is signed and its signature does not fit.
    pub(crate) fn with_body(self, api: &ApiState, body: &[u8]) -> Result<Sending, Problem> {
        let Entered { scope, principal, rates } = match self.0 {
            Entering::Known(entered) => entered,
            Entering::Signed(head) => head.enter(api, body)?,
        };
        // The body may have taken long to arrive.
        if !api.access.still_allows(&principal, Permission::WriteEvents) {
            return Err(Problem::new(ProblemKind::Unauthorized, "the credential has ended while the body was sent"));
        }
        Ok(Sending { scope, project: BoundProject(principal.project), events_rate: rates.workspace.events })
    }
}

/// Whose events a request sends.
#[derive(Debug)]
pub(crate) struct Sending {
    pub(crate) scope: TenantScope,
    /// The one project that they may name.
    pub(crate) project: BoundProject,
    /// How many a second the workspace may send, if it has a limit of its own.
    pub(crate) events_rate: Option<Rate>,
}

/// Who sends the events of a request, as its `Idempotency-Key` is bound to. Among the extensions.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    pub(super) credential: CredentialHash,
    /// What a signed request is known by when it has no key.
    pub(super) signature: Option<String>,
}

/// The operator of the server.
#[derive(Debug)]
pub(crate) struct Operator(pub(crate) By);

/// A person who has logged in.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) user: UserId,
    pub(crate) session: SessionId,
    pub(crate) by: By,
    pub(crate) cookies: Cookies,
}

/// Whoever asks, for routes that need nothing.
#[derive(Debug)]
pub(crate) struct Anyone {
    pub(crate) by: By,
    pub(crate) cookies: Cookies,
}

/// Whether the request may have a cookie set: a page of another origin must not log anybody in here.
#[derive(Debug, Clone)]
pub(crate) struct Cookies(Result<(), Problem>);

impl Cookies {
    fn of(parts: &Parts) -> Self {
        let own = parts.extensions.get::<Arc<OwnOrigin>>().cloned().unwrap_or_default();
        Self(check_same_origin(parts, &own, browser::Caller::Cookie))
    }

    /// Refuses to set a cookie that is asked for, if it may not be.
    ///
    /// # Errors
    /// 403, which names the header that says that the page is not an own one.
    pub(crate) fn check(&self, is_asked: bool) -> Result<(), Problem> {
        if is_asked { self.0.clone() } else { Ok(()) }
    }
}

/// Refuses a request on a route that was declared to need something else than its handler looks at.
fn check_needs(parts: &Parts, fits: fn(&Needs) -> bool) -> Result<(), Problem> {
    if parts.extensions.get().is_some_and(fits) {
        return Ok(());
    }
    Err(Problem::internal("the route is declared to need something else than its handler looks at"))
}

/// The project that a key is bound to, if it is.
#[derive(Debug, Clone)]
pub(crate) struct BoundProject(Option<Arc<str>>);

impl BoundProject {
    /// The project to ask for, given the one that the request names.
    ///
    /// # Errors
    /// `project_mismatch` when the request names another.
    pub(crate) fn narrow(&self, asked: Option<String>) -> Result<Option<String>, Problem> {
        match (&self.0, asked) {
            (None, asked) => Ok(asked),
            (Some(own), None) => Ok(Some(own.to_string())),
            (Some(own), Some(asked)) if asked == **own => Ok(Some(asked)),
            (Some(_), Some(_)) => {
                let detail = "project_mismatch: the key is bound to another project";
                Err(Problem::new(ProblemKind::Forbidden, detail).at("project"))
            }
        }
    }

    /// The project itself.
    pub(crate) fn get(&self) -> Option<&Arc<str>> {
        self.0.as_ref()
    }

    /// Whether what is of `project` may be read.
    pub(crate) fn takes(&self, project: Option<&str>) -> bool {
        self.0.as_deref().is_none_or(|own| project == Some(own))
    }
}

impl FromRequestParts<Arc<ApiState>> for ReadScope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<ApiState>) -> Result<Self, Problem> {
        let entered = enter(parts, api, Access::Read, None).await?;
        entered.unbound().map(|(scope, _)| Self(scope))
    }
}

impl ReadScope {
    /// The tenant of a request that needs `permission`, on a route that needs different ones.
    pub(crate) async fn with(parts: &Parts, api: &Arc<ApiState>, permission: Permission) -> Result<Self, Problem> {
        enter(parts, api, Access::Read, Some(permission)).await?.unbound().map(|(scope, _)| Self(scope))
    }
}

impl FromRequestParts<Arc<ApiState>> for ProjectScope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<ApiState>) -> Result<Self, Problem> {
        let Entered { scope, principal, .. } = enter(parts, api, Access::Read, None).await?;
        Ok(Self { scope, project: BoundProject(principal.project.clone()), by: by(parts, principal) })
    }
}

impl FromRequestParts<Arc<ApiState>> for WriteScope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<ApiState>) -> Result<Self, Problem> {
        let (scope, principal) = enter(parts, api, Access::Write, None).await?.unbound()?;
        api.write_response_budget.check_own_room(scope.tenant())?;
        Ok(Self { scope, by: by(parts, principal) })
    }
}

impl FromRequestParts<Arc<ApiState>> for IngestScope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<ApiState>) -> Result<Self, Problem> {
        if let Some(signed) = signature(parts, api).await? {
            // No key begins with a zero byte.
            let credential = CredentialHash::of(Some(&format!("\0{}", signed.subject())));
            let sender = Sender { credential, signature: Some(signed.event_id(0)) };
            let head = SignedHead::read(signed, parts)?;
            parts.extensions.insert(sender);
            return Ok(Self(Entering::Signed(Box::new(head))));
        }
        let entered = enter(parts, api, Access::Write, None).await?;
        // Before the body is read.
        api.pipeline.rate_limits().check_events(entered.scope.tenant(), entered.rates.workspace.events)?;
        api.write_response_budget.check_own_room(entered.scope.tenant())?;
        let credential = match &entered.principal.subject {
            Subject::Person(..) | Subject::External(_) => {
                CredentialHash::of(Some(&format!("\0{}", entered.principal.subject)))
            }
            _ => CredentialHash::of(bearer(&parts.headers)?),
        };
        parts.extensions.insert(Sender { credential, signature: None });
        Ok(Self(Entering::Known(entered)))
    }
}

impl FromRequestParts<Arc<ApiState>> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<ApiState>) -> Result<Self, Problem> {
        check_needs(parts, |needs| matches!(needs, Needs::Permission(Permission::ManageServer) | Needs::Metrics))?;
        let identified = identify(parts, api).await?;
        let principal = match identified.caller {
            Caller::Principal(principal) => principal,
            Caller::Person(user, session) => person(user, session),
        };
        check_rights(parts, api, &principal, Permission::ManageServer, identified.header)?;
        Ok(Self(by(parts, principal)))
    }
}

impl FromRequestParts<Arc<ApiState>> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<ApiState>) -> Result<Self, Problem> {
        check_needs(parts, |needs| *needs == Needs::Login)?;
        let identified = identify(parts, api).await?;
        let Caller::Person(user, session) = identified.caller else {
            let detail = "this is for people: log in, and send the access token or the cookie";
            return Err(Problem::new(ProblemKind::Forbidden, detail).at(identified.header));
        };
        Ok(Self { user, session, by: by(parts, person(user, session)), cookies: Cookies::of(parts) })
    }
}

impl FromRequestParts<Arc<ApiState>> for Anyone {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<ApiState>) -> Result<Self, Problem> {
        check_needs(parts, |needs| *needs == Needs::Nothing)?;
        // No credential is needed and none is looked at, but two are a mistake here as everywhere.
        if let Err(problem) = credential(&parts.headers, api.cookie)
            && problem.status() == 400
        {
            return Err(problem);
        }
        let principal =
            Principal { workspace: None, rights: Rights::default(), subject: Subject::Anonymous, project: None };
        let By { principal, cause } = by(parts, principal);
        let cause = Cause { actor: Actor::Anyone, ..cause };
        Ok(Self { by: By { principal, cause }, cookies: Cookies::of(parts) })
    }
}

/// A request in its workspace.
#[derive(Debug)]
struct Entered {
    scope: TenantScope,
    principal: Principal,
    rates: CallerRates,
}

impl Entered {
    /// Refuses keys that are bound to a project: only routes that filter by project take them.
    fn unbound(self) -> Result<(TenantScope, Principal), Problem> {
        if self.principal.project.is_some() {
            return Err(refused(Refusal::NotOfProject, "Authorization"));
        }
        Ok((self.scope, self.principal))
    }
}

/// A person outside of any workspace.
fn person(user: UserId, session: SessionId) -> Principal {
    Principal { workspace: None, rights: Rights::default(), subject: Subject::Person(user, session), project: None }
}

/// The workspace of a request, for which the caller has the permission that the route needs.
async fn enter(
    parts: &Parts,
    api: &Arc<ApiState>,
    access: Access,
    permission: Option<Permission>,
) -> Result<Entered, Problem> {
    let permission = match (permission, parts.extensions.get::<Needs>().copied()) {
        (Some(permission), _) | (None, Some(Needs::Permission(permission))) => permission,
        (None, Some(Needs::Events)) => Permission::ReadEvents,
        _ => return Err(Problem::internal("the route does not say which permission it needs")),
    };
    let Identified { caller, header } = identify(parts, api).await?;
    let named = workspace_named(parts)?;
    let principal = api.access.enter(&caller, named.as_deref()).map_err(|why| refused(why, header))?;
    let scope = check_rights(parts, api, &principal, permission, header)?;
    let scope = scope.ok_or_else(|| refused(Refusal::WorkspaceRequired, header))?;
    let rates = api.access.register().rates_of(&principal);
    api.pipeline.rate_limits().workspace(scope.tenant(), rates.workspace.requests)?;
    if let Some(request) = parts.extensions.get::<RequestTenant>() {
        request.set(scope.tenant(), access);
    }
    Ok(Entered { scope, principal, rates })
}

/// The workspace of a caller who has `permission`. That one has not is noted in the audit log, now and then.
fn check_rights(
    parts: &Parts,
    api: &Arc<ApiState>,
    principal: &Principal,
    permission: Permission,
    header: &'static str,
) -> Result<Option<TenantScope>, Problem> {
    if principal.rights.allow(permission) {
        return Ok(principal.workspace.clone());
    }
    let why = Refusal::NotAllowed(permission);
    let (access, noted) = (Arc::clone(&api.access), by(parts, principal.clone()));
    tokio::spawn(async move { access.note_refusal(&noted.principal, &noted.cause, why).await });
    Err(refused(why, header))
}

/// Who asks and from where, for what may be written to the audit log.
fn by(parts: &Parts, principal: Principal) -> By {
    let address = address_of(parts);
    let request_id = parts.extensions.get::<RequestId>().and_then(|id| id.0.to_str().ok()).map(Arc::from);
    By { cause: Cause { actor: Actor::Subject(principal.subject.clone()), address, request_id }, principal }
}

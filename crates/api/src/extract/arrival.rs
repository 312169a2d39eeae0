//! What is found out about a request before its route is asked: who makes it, and whether more come of the same than
//! may. A request that shows no valid credential counts for its address, any other for its credential. What a route
//! makes of a credential that is not valid is the route's. A signed request shows who makes it when its body is there.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use access::control::SignedRequest;
use access::{AccessError, Caller, Presented};
use domain::access::principal::{Principal, Refusal, Subject};
use domain::access::rights::Permission;
use domain::rate::CallerRates;
use domain::tenant::TenantId;
use http::Method;
use http::request::Parts;
use pipeline::RateStanding;

use super::credential::{Credential, credential};
use crate::browser::{self, OwnOrigin, check_same_origin};
use crate::client_address::ClientAddress;
use crate::problem::{Problem, ProblemKind};
use crate::state::ApiState;

/// The header of a signature.
pub(super) const SIGNATURE: &str = "Nilometer-Signature";

/// Who makes a request, and the header that says so.
#[derive(Debug, Clone)]
pub(super) struct Identified {
    pub(super) caller: Caller,
    pub(super) header: &'static str,
}

/// Who makes a request, or why it is nobody. Among the extensions.
#[derive(Debug, Clone)]
enum Arrival {
    /// Known by what the head shows.
    Told(Result<Identified, Problem>),
    /// Known when the body is there.
    Signed(Result<SignedRequest, Problem>),
}

/// How limits stand that a request counts for.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// How the limit stands of the address or credential; none without a limit.
    pub(super) standing: Option<RateStanding>,
    /// Whose events it may bring.
    pub(super) sender: Option<(TenantId, CallerRates)>,
}

/// Whether the signature of a request was found to fit, and how limits stand then. Among the extensions of a signed
/// request.
#[derive(Debug, Clone, Default)]
pub(super) struct Proof(Arc<OnceLock<Shown>>);

impl Proof {
    /// The signature fits.
    pub(super) fn give(&self, shown: Shown) {
        self.0.get_or_init(|| shown);
    }
}

/// How the limits of a request stand that is let through.
#[derive(Debug)]
pub(crate) enum Counted {
    Told(Shown),
    Signed(Signing),
}

/// A signed request on its way. However it ends, it counts for its address unless its signature was found to fit.
#[derive(Debug)]
pub(crate) struct Signing {
    api: Arc<ApiState>,
    address: Option<IpAddr>,
    proof: Proof,
}

impl Drop for Signing {
    fn drop(&mut self) {
        if self.proof.0.get().is_none() {
            // Its answer is on its way already; those that follow are refused.
            let _ = self.api.pipeline.rate_limits().address(self.address);
        }
    }
}

impl Counted {
    /// How they stand, once it was answered. Nothing is shown to who has not proven to be the one that is counted.
    pub(crate) fn standings(&self, api: &ApiState) -> Vec<RateStanding> {
        let shown = match self {
            Self::Told(shown) => Some(shown),
            Self::Signed(signing) => signing.proof.0.get(),
        };
        let Some(Shown { standing, sender }) = shown else { return Vec::new() };
        let events = sender
            .as_ref()
            .and_then(|(tenant, rates)| api.pipeline.rate_limits().events_standing(tenant, rates.workspace.events));
        standing.iter().copied().chain(events).collect()
    }
}

/// Finds out who makes a request, and counts it. Of a signed one nothing is known before its body is there: neither what
/// is counted nor what is answered tells whether there is such a secret, or whose it is.
///
/// # Errors
/// 429 when more come than may.
pub(crate) async fn count_request(parts: &mut Parts, api: &Arc<ApiState>) -> Result<Counted, Problem> {
    let address = address_of(parts);
    let limits = api.pipeline.rate_limits();
    let arrival = look(parts, api).await;
    let counted = match &arrival {
        Arrival::Signed(_) => {
            limits.check_address(address)?;
            let proof = Proof::default();
            parts.extensions.insert(proof.clone());
            Counted::Signed(Signing { api: Arc::clone(api), address, proof })
        }
        Arrival::Told(outcome) => {
            let caller = outcome.as_ref().ok().map(|identified| &identified.caller);
            Counted::Told(count_caller(caller, address, parts.method == Method::POST, api)?)
        }
    };
    parts.extensions.insert(Arc::new(arrival));
    Ok(counted)
}

/// Counts a request of `caller`, or of nobody.
fn count_caller(
    caller: Option<&Caller>,
    address: Option<IpAddr>,
    may_send: bool,
    api: &ApiState,
) -> Result<Shown, Problem> {
    let limits = api.pipeline.rate_limits();
    Ok(match caller {
        // Whoever sets the limits is not shut out by them, in profile `dev` without a credential.
        Some(Caller::Principal(principal)) if principal.rights.is_operator => Shown::default(),
        None | Some(Caller::Principal(Principal { subject: Subject::Anonymous, .. })) => {
            Shown { standing: limits.address(address)?, sender: None }
        }
        Some(Caller::Person(user, session)) => {
            let subject = Subject::Person(*user, *session);
            Shown { standing: limits.credential(&subject, address, None)?, sender: None }
        }
        Some(Caller::Principal(principal)) => {
            let rates = api.access.register().rates_of(principal);
            let standing = limits.credential(&principal.subject, address, rates.key)?;
            let sends = may_send && principal.rights.allow(Permission::WriteEvents);
            let sender = principal.workspace.as_ref().filter(|_| sends).map(|scope| (scope.tenant().clone(), rates));
            Shown { standing, sender }
        }
    })
}

/// The address that a request comes from.
pub(super) fn address_of(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<ClientAddress>().map(|address| address.get())
}

async fn arrival(parts: &Parts, api: &ApiState) -> Arc<Arrival> {
    match parts.extensions.get::<Arc<Arrival>>() {
        Some(arrival) => Arc::clone(arrival),
        None => Arc::new(look(parts, api).await),
    }
}

/// Who makes a request, on a route that takes no signature.
pub(super) async fn identify(parts: &Parts, api: &ApiState) -> Result<Identified, Problem> {
    match &*arrival(parts, api).await {
        Arrival::Told(outcome) => outcome.clone(),
        Arrival::Signed(_) => {
            let detail = "a signed request can send events, and nothing else";
            Err(Problem::new(ProblemKind::Forbidden, detail).at(SIGNATURE))
        }
    }
}

/// What a request says of its signature, if it is signed: for routes that hold it against the body.
pub(super) async fn signature(parts: &Parts, api: &ApiState) -> Result<Option<SignedRequest>, Problem> {
    match &*arrival(parts, api).await {
        Arrival::Told(_) => Ok(None),
        Arrival::Signed(signed) => signed.clone().map(Some),
    }
}

async fn look(parts: &Parts, api: &ApiState) -> Arrival {
    match credential(&parts.headers, api.cookie) {
        Ok((Credential::Signature(text), header)) => {
            let signed = api.access.begin_signed(text).await;
            Arrival::Signed(signed.map_err(|why| Problem::from(why).at(header)))
        }
        Ok((found, header)) => Arrival::Told(caller(parts, api, &found, header).await),
        Err(problem) => Arrival::Told(Err(problem)),
    }
}

async fn caller(
    parts: &Parts,
    api: &ApiState,
    credential: &Credential<'_>,
    header: &'static str,
) -> Result<Identified, Problem> {
    let presented = match credential {
        Credential::None | Credential::Signature(_) => Presented::Nothing,
        Credential::Bearer(text) => Presented::Bearer(text),
        Credential::Cookie(text) => {
            let own = parts.extensions.get::<Arc<OwnOrigin>>().cloned().unwrap_or_default();
            check_same_origin(parts, &own, browser::Caller::Cookie)?;
            Presented::Cookie(text)
        }
    };
    let caller = api.access.authenticate(presented, address_of(parts)).await.map_err(|why| refused(why, header))?;
    Ok(Identified { caller, header })
}

/// The refusal of a credential, because of the header that it is in.
pub(super) fn refused(why: Refusal, header: &str) -> Problem {
    Problem::from(AccessError::Refused(why)).at_credential(why, header)
}

//! What is found out about a request before its route is asked: who makes it, and whether more come of the same than
//! may. A request that shows no valid credential counts for its address, any other for its credential. What a route
//! makes of a credential that is not valid is the route's.

use std::sync::Arc;

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

/// Who makes a request, and the header that says so.
#[derive(Debug, Clone)]
pub(super) struct Identified {
    pub(super) caller: Caller,
    pub(super) header: &'static str,
    pub(super) signed: Option<SignedRequest>,
}

/// Who makes a request, or why it is nobody. Among the extensions.
#[derive(Debug, Clone)]
struct Arrival {
    outcome: Result<Identified, Problem>,
    /// Whether it is signed, rightly or not.
    is_signed: bool,
}

/// How the limits of a request stand that is let through.
#[derive(Debug)]
pub(crate) struct Counted {
    /// How the limit stands of the address or credential that the request counts for; none without a limit.
    standing: Option<RateStanding>,
    /// Whose events it may bring.
    sender: Option<(TenantId, CallerRates)>,
}

impl Counted {
    /// How they stand, once it was answered.
    pub(crate) fn standings(&self, api: &ApiState) -> Vec<RateStanding> {
        let sender = self.sender.as_ref();
        let events = sender
            .and_then(|(tenant, rates)| api.pipeline.rate_limits().events_standing(tenant, rates.workspace.events));
        self.standing.into_iter().chain(events).collect()
    }
}

/// Finds out who makes a request, and counts it.
///
/// # Errors
/// 429 when more come than may.
pub(crate) async fn count_request(parts: &mut Parts, api: &ApiState) -> Result<Counted, Problem> {
    let arrival = look(parts, api).await;
    let address = parts.extensions.get::<ClientAddress>().map(|address| address.get());
    let limits = api.pipeline.rate_limits();
    let counted = match arrival.outcome.as_ref().map(|identified| &identified.caller) {
        Err(_) | Ok(Caller::Principal(Principal { subject: Subject::Anonymous, .. })) => {
            Counted { standing: limits.address(address)?, sender: None }
        }
        Ok(Caller::Person(user, session)) => {
            let subject = Subject::Person(*user, *session);
            Counted { standing: limits.credential(&subject, address, None)?, sender: None }
        }
        // Whoever sets the limits is not shut out by them.
        Ok(Caller::Principal(principal)) if principal.rights.is_operator => Counted { standing: None, sender: None },
        Ok(Caller::Principal(principal)) => {
            let rates = api.access.register().rates_of(principal);
            let standing = limits.credential(&principal.subject, address, rates.key)?;
            let sends = parts.method == Method::POST && principal.rights.allow(Permission::WriteEvents);
            let sender = principal.workspace.as_ref().filter(|_| sends).map(|scope| (scope.tenant().clone(), rates));
            Counted { standing, sender }
        }
    };
    parts.extensions.insert(Arc::new(arrival));
    Ok(counted)
}

/// Who makes a request. A signature is taken by routes that hold it against the body, and by no others.
pub(super) async fn identify(parts: &Parts, api: &ApiState, takes_signature: bool) -> Result<Identified, Problem> {
    let arrival = match parts.extensions.get::<Arc<Arrival>>() {
        Some(arrival) => Arc::clone(arrival),
        None => Arc::new(look(parts, api).await),
    };
    if arrival.is_signed && !takes_signature {
        let detail = "a signed request can send events, and nothing else";
        return Err(Problem::new(ProblemKind::Forbidden, detail).at("Nilometer-Signature"));
    }
    arrival.outcome.clone()
}

async fn look(parts: &Parts, api: &ApiState) -> Arrival {
    match credential(&parts.headers, api.cookie) {
        Ok((found, header)) => {
            let is_signed = matches!(found, Credential::Signature(_));
            Arrival { outcome: caller(parts, api, &found, header).await, is_signed }
        }
        Err(problem) => Arrival { outcome: Err(problem), is_signed: false },
    }
}

async fn caller(
    parts: &Parts,
    api: &ApiState,
    credential: &Credential<'_>,
    header: &'static str,
) -> Result<Identified, Problem> {
    let presented = match credential {
        Credential::Signature(text) => {
            let signed = api.access.begin_signed(text).await.map_err(|why| Problem::from(why).at(header))?;
            let caller = Caller::Principal(signed.principal.clone());
            return Ok(Identified { caller, header, signed: Some(signed) });
        }
        Credential::None => Presented::Nothing,
        Credential::Bearer(text) => Presented::Bearer(text),
        Credential::Cookie(text) => {
            let own = parts.extensions.get::<Arc<OwnOrigin>>().cloned().unwrap_or_default();
            check_same_origin(parts, &own, browser::Caller::Cookie)?;
            Presented::Cookie(text)
        }
    };
    let address = parts.extensions.get::<ClientAddress>().map(|address| address.get());
    let caller = api.access.authenticate(presented, address).await.map_err(|why| refused(why, header))?;
    Ok(Identified { caller, header, signed: None })
}

/// The refusal of a credential, because of the header that it is in.
pub(super) fn refused(why: Refusal, header: &str) -> Problem {
    Problem::from(AccessError::Refused(why)).at_credential(why, header)
}

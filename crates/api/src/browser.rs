//! What pages may make a browser do here. A browser sends what any page asks for, so a server on one's own machine that
//! takes requests without a key would answer every page that is open there: it answers only under a name of its own
//! machine, and only its own pages and those of listed origins. Decides alone and does nothing; `gate` applies it.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use http::header::{HOST, HeaderName, ORIGIN};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Method};

use crate::origin::{Origin, split};
use crate::problem::{Problem, ProblemKind};

/// Says how the page that a request is made for lies to the server.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Says whether a request opens a page, or is made by one.
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
/// Says what a page wants the answer for.
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
/// The routes whose answers go on for ever.
pub(crate) const STREAMS: [&str; 2] = ["/v1/live/ws", "/v1/live/stream"];

/// What a request acts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A cookie, which the browser adds by itself.
    Cookie,
    /// Nothing: it acts as the tenant that profile `dev` has on one's own machine.
    DevTenant,
    /// A key, which no page has that its owner did not give it to.
    Key,
}

/// The origins whose pages may come here, among the extensions of every request.
#[derive(Debug, Clone, Default)]
pub(crate) struct OwnOrigin {
    /// That of `public_url`.
    pub(crate) public: Option<Origin>,
    /// Scheme and host as the request came, or as a trusted proxy says that it did.
    pub(crate) received: Option<Origin>,
    /// The origins of `cors_origins`.
    pub(crate) listed: Arc<[Origin]>,
}

/// Whose page a request is made for, by its `Origin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    /// It does not say.
    Unsaid,
    Own,
    Listed,
    Foreign,
}

/// How that page lies to the server, by `Sec-Fetch-Site`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Site {
    /// It does not say: no browser of today sends it.
    Unsaid,
    Same,
    /// There is no page: somebody has typed the address.
    None,
    Other,
}

impl OwnOrigin {
    fn page(&self, headers: &HeaderMap, caller: Caller) -> Page {
        let mut values = headers.get_all(ORIGIN).iter();
        let (value, second) = (values.next(), values.next());
        let Some(value) = value else { return Page::Unsaid };
        let origin = value.to_str().ok().and_then(|text| Origin::parse(text).ok());
        match origin {
            Some(origin) if second.is_none() && self.is_own(&origin, caller) => Page::Own,
            Some(origin) if second.is_none() && self.listed.contains(&origin) => Page::Listed,
            _ => Page::Foreign,
        }
    }

    /// A server that is told its URL believes no other. For the tenant of `dev`, whose host is known to be one's own
    /// machine, the host will do beside it.
    fn is_own(&self, origin: &Origin, caller: Caller) -> bool {
        let by_host = self.public.is_none() || caller == Caller::DevTenant;
        self.public.as_ref() == Some(origin) || by_host && self.received.as_ref() == Some(origin)
    }
}

/// Refuses a request that another page than an own one makes a browser send: one that changes something, or opens a
/// stream. Of listed pages it takes those that come with a key, or as the tenant of `dev`.
///
/// # Errors
/// A problem that names the header that says so.
pub(crate) fn check_same_origin(request: &Parts, own: &OwnOrigin, caller: Caller) -> Result<(), Problem> {
    let is_read = matches!(request.method, Method::GET | Method::HEAD);
    if caller == Caller::Key || is_read && !STREAMS.contains(&request.uri.path()) {
        return Ok(());
    }
    let page = own.page(&request.headers, caller);
    if page == Page::Listed && caller != Caller::Cookie {
        return Ok(());
    }
    match (site(&request.headers), page) {
        (Site::Same, _) | (Site::Unsaid, Page::Own) => Ok(()),
        (Site::None, _) if is_read => Ok(()),
        (Site::Unsaid, Page::Unsaid) if caller == Caller::DevTenant => Ok(()),
        (Site::Unsaid, _) if caller == Caller::Cookie => Err(not_own("Origin")),
        (_, _) if caller == Caller::Cookie => Err(not_own("Sec-Fetch-Site")),
        (Site::None | Site::Other, _) => Err(foreign("Sec-Fetch-Site")),
        (Site::Unsaid, _) => Err(foreign("Origin")),
    }
}

/// The rules of a server that takes requests without a key, which listens on this machine alone. They hold for every
/// request, whatever it comes with and whichever route it is for.
///
/// # Errors
/// A problem that names the header that is refused.
pub(crate) fn check_dev(request: &Parts, own: &OwnOrigin) -> Result<(), Problem> {
    check_host(request)?;
    check_direct(&request.headers)?;
    let page = own.page(&request.headers, Caller::DevTenant);
    if page == Page::Foreign {
        return Err(foreign("Origin"));
    }
    if site(&request.headers) == Site::Other && page == Page::Unsaid && !opens_page(request) {
        return Err(foreign("Sec-Fetch-Site"));
    }
    check_same_origin(request, own, Caller::DevTenant)
}

fn not_own(field: &str) -> Problem {
    let detail = "with a cookie only the server's own pages may do this: what sends it has to say that it is one, by \
                  Sec-Fetch-Site or Origin; programs send a token instead";
    Problem::new(ProblemKind::Forbidden, detail).at(field)
}

fn foreign(field: &str) -> Problem {
    let detail = "a page of another origin has sent this; list its origin in cors_origins if it may";
    Problem::new(ProblemKind::Forbidden, detail).at(field)
}

fn site(headers: &HeaderMap) -> Site {
    let mut values = headers.get_all(FETCH_SITE).iter();
    match (values.next().map(|value| value.as_bytes()), values.next()) {
        (None, _) => Site::Unsaid,
        (Some(b"same-origin"), None) => Site::Same,
        (Some(b"none"), None) => Site::None,
        _ => Site::Other,
    }
}

/// Whether a request opens a page of its own, as a link does: what it loads, the page with the link cannot see. A
/// frame inside another page is none, since what is clicked there the other page can choose.
fn opens_page(request: &Parts) -> bool {
    let says = |name: &HeaderName, word: &str| request.headers.get(name).is_some_and(|value| value == word);
    request.method == Method::GET && says(&FETCH_MODE, "navigate") && says(&FETCH_DEST, "document")
}

/// Whoever has a page's name point to this machine (DNS rebinding) has that page's own name as host.
fn check_host(request: &Parts) -> Result<(), Problem> {
    let named = request.uri.authority().map(|authority| Some(authority.as_str()));
    let hosts = request.headers.get_all(HOST).iter().map(|value| value.to_str().ok());
    // Without any it is HTTP/1.0, which no browser speaks.
    if named.into_iter().chain(hosts).all(|host| host.is_some_and(is_this_machine)) {
        return Ok(());
    }
    let detail = "profile dev answers without a key, and so only to localhost and loopback addresses as host; \
                  to be reached by another name, run with profile prod and keys";
    Err(Problem::new(ProblemKind::Misdirected, detail).at("Host"))
}

/// Whether `authority` is `localhost` or a loopback address, with a port or without.
fn is_this_machine(authority: &str) -> bool {
    let Some((host, _)) = split(authority) else { return false };
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().is_ok_and(|address| address.to_canonical().is_loopback()),
        None => host.eq_ignore_ascii_case("localhost") || host.parse::<Ipv4Addr>().is_ok_and(|it| it.is_loopback()),
    }
}

/// What a proxy sends on may come from anywhere.
fn check_direct(headers: &HeaderMap) -> Result<(), Problem> {
    let is_of_proxy =
        |name: &&HeaderName| matches!(name.as_str(), "forwarded" | "via") || name.as_str().starts_with("x-forwarded-");
    let Some(name) = headers.keys().find(is_of_proxy) else { return Ok(()) };
    let detail =
        "a proxy has sent this on, and profile dev answers without a key; behind a proxy, run with profile prod";
    Err(Problem::new(ProblemKind::Forbidden, detail).at(name.as_str()))
}

/// The host that a request names, with its port if it has one.
pub(crate) fn host_of(request: &Parts) -> Option<&str> {
    let named = request.uri.authority().map(Authority::as_str);
    named.or_else(|| request.headers.get(HOST)?.to_str().ok())
}

#[cfg(test)]
mod tests;

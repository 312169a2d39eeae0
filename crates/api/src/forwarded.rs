//! What proxies say of a request: `Forwarded` (RFC 7239) and the `X-Forwarded-…` fields. Anybody can send them, so they
//! are read from trusted proxies alone, from the right, where the nearest proxy writes, and no further than to the
//! first address that is not trusted.

use std::net::{IpAddr, Ipv6Addr};

use http::HeaderMap;
use http::header::FORWARDED;

use crate::base_path::BasePath;
use crate::origin::{Origin, Scheme, split};
use crate::serve::{HeadFault, HeadRefusal};
use domain::access::address::AddressRange;

const FOR: &str = "x-forwarded-for";
const PROTO: &str = "x-forwarded-proto";
const HOST: &str = "x-forwarded-host";
const PREFIX: &str = "x-forwarded-prefix";

/// Where a request comes from and what it was sent to, as far as is known beside the request itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Forwarded {
    /// Who sent it first.
    pub(crate) client: IpAddr,
    pub(crate) scheme: Option<Scheme>,
    pub(crate) authority: Option<String>,
    /// What a proxy has taken off the front of the path.
    pub(crate) prefix: BasePath,
}

impl Forwarded {
    /// A request that came from its client without any proxy.
    pub(crate) fn direct(peer: IpAddr) -> Self {
        Self { client: peer.to_canonical(), scheme: None, authority: None, prefix: BasePath::default() }
    }

    /// What the headers of a request say that came from `peer`: nothing, if it is no trusted proxy. An address
    /// that cannot be read, and two fields that name two clients, leave the peer itself.
    ///
    /// # Errors
    /// A refusal when a trusted proxy sends a prefix that is no plain path: it would stand in links.
    pub(crate) fn read(peer: IpAddr, headers: &HeaderMap, trusted: &[AddressRange]) -> Result<Self, HeadRefusal> {
        let direct = Self::direct(peer);
        if !is_trusted(direct.client, trusted) {
            return Ok(direct);
        }
        let prefix = prefix(headers)?;
        let elements = elements(headers);
        let listed = client(lists(headers, FOR).into_iter().map(address), trusted);
        let named = client(elements.iter().map(|element| element.client), trusted);
        let (at, client) = match (listed, named) {
            (Client::Unsaid, Client::Unsaid) => (None, direct.client),
            (Client::Known(_, client), Client::Unsaid) => (None, client),
            (Client::Unsaid, Client::Known(at, client)) => (elements.get(at), client),
            (Client::Known(_, client), Client::Known(_, other)) if client == other => (None, client),
            _ => return Ok(Self { prefix, ..direct }),
        };
        let last = |name| lists(headers, name).pop();
        let scheme = last(PROTO).or(at.and_then(|element| element.scheme.as_deref())).and_then(Scheme::parse);
        let authority = last(HOST).or(at.and_then(|element| element.authority.as_deref()));
        let authority = authority.filter(|authority| Origin::of(Scheme::Http, authority).is_ok()).map(str::to_owned);
        Ok(Self { client, scheme, authority, prefix })
    }
}

fn is_trusted(address: IpAddr, trusted: &[AddressRange]) -> bool {
    trusted.iter().any(|network| network.contains(address))
}

/// The members of a field that is a list, in their order over all its lines; one that is no text is empty.
fn lists<'h>(headers: &'h HeaderMap, name: &str) -> Vec<&'h str> {
    let lines = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?"));
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|member| !member.is_empty()).collect()
}

fn prefix(headers: &HeaderMap) -> Result<BasePath, HeadRefusal> {
    let detail =
        "X-Forwarded-Prefix must be one path as /meter: segments of A-Z a-z 0-9 . _ ~ - with a slash before each";
    let refusal = HeadRefusal { fault: HeadFault::Malformed, field: "X-Forwarded-Prefix", detail };
    let mut lines = headers.get_all(PREFIX).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(BasePath::default()),
        (Some(value), None) => value.to_str().ok().and_then(|text| BasePath::parse(text).ok()).ok_or(refusal),
        (Some(_), Some(_)) => Err(refusal),
    }
}

/// Who sent a request first, by one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    /// The field is not there.
    Unsaid,
    /// It cannot be read as far as it has to be.
    Unknown,
    /// This one, whom the member at this place names.
    Known(usize, IpAddr),
}

/// The last of `hops` that is not trusted, or the first of all if all are.
fn client(
    hops: impl DoubleEndedIterator<Item = Option<IpAddr>> + ExactSizeIterator,
    trusted: &[AddressRange],
) -> Client {
    let mut found = Client::Unsaid;
    for (at, hop) in hops.enumerate().rev() {
        let Some(address) = hop else { return Client::Unknown };
        found = Client::Known(at, address);
        if !is_trusted(address, trusted) {
            break;
        }
    }
    found
}

/// The address of `1.2.3.4`, `::1`, `[::1]`, each of the outer ones also with a port.
fn address(text: &str) -> Option<IpAddr> {
    let plain = text.parse::<IpAddr>().ok();
    let address = plain.or_else(|| {
        let (host, _) = split(text)?;
        match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            None => host.parse().ok(),
        }
    });
    address.map(|address| address.to_canonical())
}

/// What one proxy says in `Forwarded`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Element {
    client: Option<IpAddr>,
    scheme: Option<String>,
    authority: Option<String>,
}

/// The elements of `Forwarded` over all its lines. One that cannot be read names no client.
fn elements(headers: &HeaderMap) -> Vec<Element> {
    let mut found = Vec::new();
    for value in headers.get_all(FORWARDED) {
        match value.to_str().ok().and_then(|line| split_unquoted(line, ',')) {
            Some(parts) => found.extend(parts.into_iter().filter(|part| !part.is_empty()).map(element)),
            None => found.push(Element::default()),
        }
    }
    found
}

fn element(text: &str) -> Element {
    let mut found = Element::default();
    for pair in split_unquoted(text, ';').unwrap_or_default() {
        let Some((name, value)) = pair.split_once('=').and_then(|(name, value)| Some((name, unquoted(value)?))) else {
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "for" => found.client = address(&value),
            "proto" => found.scheme = Some(value),
            "host" => found.authority = Some(value),
            _ => {}
        }
    }
    found
}

/// The parts of `text` between separators outside quotes; `None` when a quote does not end.
fn split_unquoted(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let parts = text.split(|character| {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ => return character == separator && !is_quoted,
        }
        false
    });
    let parts = parts.map(str::trim).collect();
    (!is_quoted).then_some(parts)
}

/// The value that a token or a quoted string stands for.
fn unquoted(text: &str) -> Option<String> {
    let Some(rest) = text.strip_prefix('"') else { return (!text.contains('"')).then(|| text.to_owned()) };
    let inner = rest.strip_suffix('"')?;
    let (mut value, mut characters) = (String::with_capacity(inner.len()), inner.chars());
    while let Some(character) = characters.next() {
        value.push(if character == '\\' { characters.next()? } else { character });
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use http::{HeaderName, HeaderValue};

    use super::*;

    const PROXY: &str = "10.0.0.9";

    fn read_from(peer: &str, fields: &[(&str, &str)]) -> Result<Forwarded, HeadRefusal> {
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|range| AddressRange::parse(range).unwrap());
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        Forwarded::read(peer.parse().unwrap(), &headers, &trusted)
    }

    fn client(fields: &[(&str, &str)]) -> String {
        read_from(PROXY, fields).unwrap().client.to_string()
    }

    #[test]
    fn the_client_is_the_last_address_that_is_not_trusted() {
        for (value, expected) in [
            ("8.8.8.8", "8.8.8.8"),
            ("1.1.1.1, 8.8.8.8", "8.8.8.8"),
            ("1.1.1.1, 8.8.8.8, 10.1.1.1", "8.8.8.8"),
            ("nonsense, 8.8.8.8, 10.1.1.1", "8.8.8.8"),
            ("10.3.3.3, 10.1.1.1", "10.3.3.3"),
            ("8.8.8.8:4711", "8.8.8.8"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]:443,fd00::7", "2001:db8::1"),
            ("::ffff:8.8.8.8", "8.8.8.8"),
            ("8.8.8.8, ::ffff:10.0.0.2", "8.8.8.8"),
            ("", PROXY),
            ("8.8.8.8, unknown", PROXY),
            ("8.8.8.8, _hidden, 10.1.1.1", PROXY),
            ("8.8.8.8 10.1.1.1", PROXY),
            ("8.8.8.8:x", PROXY),
            ("8.8.8.8\u{e4}", PROXY),
        ] {
            assert_eq!(client(&[("x-forwarded-for", value)]), expected, "{value}");
        }
        assert_eq!(
            client(&[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "8.8.8.8")]),
            "8.8.8.8",
            "the last line"
        );
        for (value, expected) in [
            ("for=8.8.8.8", "8.8.8.8"),
            ("For=\"[2001:db8::1]:4711\"", "2001:db8::1"),
            ("for=1.1.1.1, for=8.8.8.8;proto=https;by=10.0.0.9, for=10.1.1.1", "8.8.8.8"),
            ("for=\"8.8.8.8\";secret=\"a,b;for=9.9.9.9\"", "8.8.8.8"),
            ("for=\"8.8.8.8", PROXY),
            ("for=_hidden", PROXY),
            ("proto=https", PROXY),
            ("for=8.8.8.8, for=unknown", PROXY),
        ] {
            assert_eq!(client(&[("forwarded", value)]), expected, "{value}");
        }
    }

    #[test]
    fn fields_of_two_kinds_must_name_one_client() {
        assert_eq!(client(&[("x-forwarded-for", "8.8.8.8"), ("forwarded", "for=8.8.8.8")]), "8.8.8.8");
        assert_eq!(client(&[("x-forwarded-for", "8.8.8.8"), ("forwarded", "for=9.9.9.9")]), PROXY);
        assert_eq!(client(&[("x-forwarded-for", "8.8.8.8"), ("forwarded", "nonsense")]), PROXY);
    }

    #[test]
    fn nothing_is_read_from_who_is_not_trusted() {
        let fields = [
            ("x-forwarded-for", "8.8.8.8"),
            ("forwarded", "for=8.8.8.8"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-prefix", "https://evil.example/\""),
        ];
        for peer in ["9.9.9.9", "::1", "::ffff:9.9.9.9"] {
            let peer_itself = Forwarded::direct(peer.parse().unwrap());
            assert_eq!(read_from(peer, &fields).unwrap(), peer_itself, "{peer}");
        }
        assert_eq!(read_from("::ffff:10.0.0.9", &fields[..1]).unwrap().client.to_string(), "8.8.8.8");
    }

    #[test]
    fn scheme_and_host_are_what_the_nearest_proxy_says() {
        let seen = |fields: &[(&str, &str)]| {
            let seen = read_from(PROXY, fields).unwrap();
            (seen.scheme, seen.authority)
        };
        let told = (Some(Scheme::Https), Some("m.example:8443".to_owned()));
        let client = ("x-forwarded-for", "8.8.8.8");
        assert_eq!(seen(&[client, ("x-forwarded-proto", "https"), ("x-forwarded-host", "m.example:8443")]), told);
        assert_eq!(seen(&[("x-forwarded-proto", "http, https"), ("x-forwarded-host", "a, m.example:8443")]), told);
        assert_eq!(seen(&[("forwarded", "for=8.8.8.8;proto=https;host=\"m.example:8443\"")]), told);
        assert_eq!(
            seen(&[("forwarded", "for=9.9.9.9;host=evil, for=8.8.8.8;proto=https;host=\"m.example:8443\"")]),
            told
        );
        assert_eq!(seen(&[client, ("x-forwarded-proto", "ftp"), ("x-forwarded-host", "a/b")]), (None, None));
    }

    #[test]
    fn a_prefix_is_a_plain_path_or_refused() {
        let prefix =
            |value: &str| read_from(PROXY, &[("x-forwarded-prefix", value)]).map(|seen| seen.prefix.to_string());
        assert_eq!(prefix("/meter/a").unwrap(), "/meter/a");
        assert_eq!(prefix("").unwrap(), "");
        for value in ["meter", "/meter/", "//evil.example", "/a, /b", "/<script>", "https://evil.example", "/.."] {
            assert_eq!(prefix(value).unwrap_err().field, "X-Forwarded-Prefix", "{value}");
        }
        assert!(read_from(PROXY, &[("x-forwarded-prefix", "/a"), ("x-forwarded-prefix", "/a")]).is_err());
    }
}

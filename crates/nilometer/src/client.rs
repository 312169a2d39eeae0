//! The HTTP client of the commands that talk to a running server: HTTP/1.1, plain or over TLS, over
//! connections that are kept and used again. Every wait and every answer has a limit. Benchmarks do not
//! use it: theirs is cheaper, and understands only what this program's own server sends.

pub(crate) mod delivery;
mod tls;

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;
use tower::ServiceExt;

/// Longest wait for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest body of an answer, in bytes.
const BODY_BYTES_MAX: usize = 64 << 20;

/// A server, and the tenant to be there. Clones share their connections.
#[derive(Debug, Clone)]
pub(crate) struct HttpClient {
    /// Scheme and authority.
    base: String,
    authorization: Option<HeaderValue>,
    connector: HttpsConnector<HttpConnector>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// A request that can be sent any number of times.
#[derive(Debug, Clone)]
pub(crate) struct HttpRequest {
    method: Method,
    uri: Uri,
    content_type: Option<&'static str>,
    body: Bytes,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub(crate) struct HttpAnswer {
    /// The status code.
    pub(crate) status: u16,
    /// How long the server asks to wait before trying again.
    pub(crate) retry_after: Option<Duration>,
    /// The body.
    pub(crate) body: Bytes,
}

impl HttpClient {
    /// A client of the server at `url` (`http://host:port` or `https://host:port`; a path is left out),
    /// as the tenant of `key`. Over TLS the server's certificate must come from an authority in the file
    /// `ca`, or from one that the system trusts when there is no such file.
    pub(crate) fn new(url: &str, key: Option<&str>, ca: Option<&Path>) -> anyhow::Result<Self> {
        let uri: Uri = url.parse().context("the address is no URL")?;
        let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"));
        let scheme = scheme.context("the address must begin with http:// or https://")?;
        let authority = uri.authority().context("the address names no host")?;
        let base = format!("{scheme}://{authority}");
        let authorization = key.map(|key| HeaderValue::try_from(format!("Bearer {key}"))).transpose();
        let mut authorization = authorization.context("the key holds characters that no key has")?;
        if let Some(value) = &mut authorization {
            value.set_sensitive(true);
        }
        let connector = tls::connector(scheme == "https", ca)?;
        let client = Client::builder(TokioExecutor::new()).build(connector.clone());
        Ok(Self { base, authorization, connector, client })
    }

    /// Connects and closes the connection again.
    ///
    /// # Errors
    /// When that fails; no request was sent.
    pub(crate) async fn reach(&self) -> anyhow::Result<()> {
        let connect = self.connector.clone().oneshot(self.uri("/")?);
        let connected = timeout(ANSWER_TIMEOUT, connect).await.context("no answer")?;
        let connected = connected.map_err(anyhow::Error::from_boxed);
        connected.map(drop).with_context(|| format!("failed to connect to {}", self.base))
    }

    /// Scheme, host and port.
    pub(crate) fn url(&self) -> &str {
        &self.base
    }

    /// A name for this server and tenant that differs from all others, and does not show the key.
    pub(crate) fn identity(&self) -> String {
        let key = self.authorization.as_ref().and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        format!("{} {}", self.base, blake3::hash(key.unwrap_or_default()).to_hex())
    }

    /// A request to read `path`.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<HttpRequest> {
        Ok(HttpRequest { method: Method::GET, uri: self.uri(path)?, content_type: None, body: Bytes::new() })
    }

    /// A request to post `body` to `path`.
    pub(crate) fn post(&self, path: &str, content_type: &'static str, body: Bytes) -> anyhow::Result<HttpRequest> {
        Ok(HttpRequest { method: Method::POST, uri: self.uri(path)?, content_type: Some(content_type), body })
    }

    /// Sends a request with a JSON body, or none, once and waits for the whole answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<Bytes>) -> anyhow::Result<HttpAnswer> {
        let content_type = body.is_some().then_some("application/json");
        let request = HttpRequest { method, uri: self.uri(path)?, content_type, body: body.unwrap_or_default() };
        self.send(&request, ANSWER_TIMEOUT).await
    }

    /// Sends `request` once and waits for the whole answer, for at most `time` and never longer than a minute.
    async fn send(&self, request: &HttpRequest, time: Duration) -> anyhow::Result<HttpAnswer> {
        let time = time.min(ANSWER_TIMEOUT);
        let answer = timeout(time, self.exchange(request)).await;
        answer.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {} s", time.as_secs())))
    }

    async fn exchange(&self, request: &HttpRequest) -> anyhow::Result<HttpAnswer> {
        let mut sent = Request::new(Full::new(request.body.clone()));
        *sent.method_mut() = request.method.clone();
        *sent.uri_mut() = request.uri.clone();
        let headers = sent.headers_mut();
        if let Some(value) = &self.authorization {
            headers.insert(AUTHORIZATION, value.clone());
        }
        if let Some(value) = request.content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
        }
        let (head, body) = self.client.request(sent).await.context("failed to send the request")?.into_parts();
        let seconds = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
        let body = body.map_err(anyhow::Error::from_boxed).context("failed to receive the answer")?.to_bytes();
        Ok(HttpAnswer { status: head.status.as_u16(), retry_after: seconds.map(Duration::from_secs), body })
    }

    fn uri(&self, path: &str) -> anyhow::Result<Uri> {
        format!("{}{path}", self.base).parse().with_context(|| format!("{path} is no path of a URL"))
    }
}

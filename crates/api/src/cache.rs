//! A cache of answers. A key begins with its tenant (I5) and the generation
//! of the tenant's settings, so that no answer outlives a change of them. Bounded by bytes, of which
//! every answer takes some, and so by number too (I6). An answer that is not there is computed
//! once, however many requests wait for it. Refusals are not cached.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::limits::{ANSWER_CACHE_BYTES_MAX, ANSWER_OVERHEAD_BYTES};
use domain::tenant::TenantId;
use http::header::{AGE, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::request::Parts;
use pipeline::Metrics;
use ports::clock::Clock;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use serde::Serialize;

use crate::problem::Problem;

/// How long answers of each kind are cached; zero turns the cache off.
#[derive(Debug, Clone, Copy)]
pub struct CacheTimes {
    /// Summaries of accounts.
    pub summary: Duration,
    /// Series whose range is over.
    pub series: Duration,
}

impl Default for CacheTimes {
    fn default() -> Self {
        Self { summary: Duration::from_secs(60), series: Duration::from_secs(5 * 60) }
    }
}

/// Identifies a question: two questions are the same when their keys are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct CacheKey {
    tenant: TenantId,
    generation: u64,
    /// The question as JSON, so that no two questions look the same.
    question: Box<str>,
}

impl CacheKey {
    /// The key of `question`, which says everything that the answer depends on.
    pub(crate) fn new(tenant: &TenantId, generation: u64, question: &impl Serialize) -> Result<Self, Problem> {
        let question = serde_json::to_string(question).map_err(|why| Problem::internal(why.to_string()))?;
        Ok(Self { tenant: tenant.clone(), generation, question: question.into_boxed_str() })
    }
}

#[derive(Debug, Clone)]
struct CachedAnswer {
    body: Bytes,
    /// On the monotonic clock: whatever the machine's clock is set to, an answer ages as time passes.
    made: Duration,
}

#[derive(Debug, Clone)]
struct AnswerWeight;

impl Weighter<CacheKey, CachedAnswer> for AnswerWeight {
    fn weight(&self, key: &CacheKey, cached: &CachedAnswer) -> u64 {
        let text = key.tenant.as_str().len() + key.question.len() + cached.body.len();
        ANSWER_OVERHEAD_BYTES + text as u64
    }
}

/// The cached answers of one server.
pub(crate) struct AnswerCache {
    pub(crate) times: CacheTimes,
    answers: Cache<CacheKey, CachedAnswer, AnswerWeight>,
    metrics: Arc<Metrics>,
}

impl fmt::Debug for AnswerCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerCache").field("times", &self.times).field("answers", &self.answers.len()).finish()
    }
}

impl AnswerCache {
    pub(crate) fn new(times: CacheTimes, metrics: Arc<Metrics>) -> Self {
        Self::with_bytes(times, metrics, ANSWER_CACHE_BYTES_MAX)
    }

    fn with_bytes(times: CacheTimes, metrics: Arc<Metrics>, bytes: u64) -> Self {
        let capacity = usize::try_from(bytes / ANSWER_OVERHEAD_BYTES).unwrap_or(usize::MAX);
        // One shard: of several, each could hold only its part of a large answer.
        let options = OptionsBuilder::new().estimated_items_capacity(capacity).weight_capacity(bytes).shards(1).build();
        let answers = match options {
            Ok(options) => {
                Cache::with_options(options, AnswerWeight, DefaultHashBuilder::default(), DefaultLifecycle::default())
            }
            Err(_) => Cache::with_weighter(capacity, bytes, AnswerWeight),
        };
        Self { times, answers, metrics }
    }

    /// The answer under `key` if it was made at most `time` ago, otherwise the one that `make` makes.
    pub(crate) async fn answer(
        &self,
        key: CacheKey,
        time: Duration,
        directives: CacheDirectives,
        clock: &dyn Clock,
        make: impl Future<Output = Result<Bytes, Problem>>,
    ) -> Result<Response, Problem> {
        if time.is_zero() {
            return Ok(uncached(make.await?));
        }
        let age_max = directives.age_max.map_or(time, |asked| asked.min(time));
        let age = |cached: &CachedAnswer| clock.monotonic().saturating_sub(cached.made);
        let fresh = |cached: &CachedAnswer| age(cached) < age_max;
        let cached = if directives.wants_new() {
            self.metrics.cacheable(false);
            let made = clock.monotonic();
            let cached = CachedAnswer { body: make.await?, made };
            if directives.may_store {
                self.answers.insert(key, cached.clone());
            }
            cached
        } else {
            self.find_or_make(&key, fresh, clock, make).await?
        };
        let mut response = json(cached.body.clone());
        let seconds = Duration::as_secs(&time);
        let age = age(&cached).as_secs();
        response.headers_mut().insert(CACHE_CONTROL, header(&format!("private, max-age={seconds}")));
        response.headers_mut().insert(AGE, header(&age.to_string()));
        Ok(response)
    }

    async fn find_or_make(
        &self,
        key: &CacheKey,
        fresh: impl Fn(&CachedAnswer) -> bool,
        clock: &dyn Clock,
        make: impl Future<Output = Result<Bytes, Problem>>,
    ) -> Result<CachedAnswer, Problem> {
        let guard = loop {
            match self.answers.get_value_or_guard_async(key).await {
                Ok(cached) if fresh(&cached) => {
                    self.metrics.cacheable(true);
                    return Ok(cached);
                }
                Ok(stale) => drop(self.answers.remove_if(key, |cached| cached.made == stale.made)),
                Err(guard) => break guard,
            }
        };
        self.metrics.cacheable(false);
        let made = clock.monotonic();
        let cached = CachedAnswer { body: make.await?, made };
        // Fails when the key was replaced or removed meanwhile, which then stands.
        let _ = guard.insert(cached.clone());
        Ok(cached)
    }
}

/// An answer that is not cached.
pub(crate) fn uncached(body: Bytes) -> Response {
    let mut response = json(body);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The JSON of an answer.
pub(crate) fn body(answer: &impl Serialize) -> Result<Bytes, Problem> {
    serde_json::to_vec(answer).map(Bytes::from).map_err(|why| Problem::internal(why.to_string()))
}

fn json(body: Bytes) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], Body::from(body)).into_response()
}

fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("0"))
}

/// What the client asks of the cache (RFC 9111, `Cache-Control` of a request).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CacheDirectives {
    /// No answer older than this; `None` takes any.
    age_max: Option<Duration>,
    /// Whether a new answer may be stored.
    may_store: bool,
}

impl CacheDirectives {
    fn of(headers: &HeaderMap) -> Self {
        let mut directives = Self { age_max: None, may_store: true };
        let lists = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
        for directive in lists.flat_map(|list| list.split(',')) {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            let age = match name.trim().to_ascii_lowercase().as_str() {
                "no-store" => {
                    directives.may_store = false;
                    Duration::ZERO
                }
                "no-cache" => Duration::ZERO,
                "max-age" => match value.trim().trim_matches('"').parse::<u32>() {
                    Ok(seconds) => Duration::from_secs(u64::from(seconds)),
                    Err(_) => continue,
                },
                _ => continue,
            };
            directives.age_max = Some(directives.age_max.map_or(age, |least| least.min(age)));
        }
        directives
    }

    fn wants_new(self) -> bool {
        self.age_max == Some(Duration::ZERO)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for CacheDirectives {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self::of(&parts.headers))
    }
}

#[cfg(test)]
mod tests;

//! What is cached, for how long, and for which tenant.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use domain::time::Timestamp;
use http_body_util::BodyExt;
use ports::testing::clock::ManualClock;

use super::*;
use crate::problem::ProblemKind;

const MINUTE: Duration = Duration::from_secs(60);

struct Bench {
    cache: AnswerCache,
    clock: ManualClock,
    made: AtomicU32,
}

impl Bench {
    fn new() -> Self {
        let clock = ManualClock::new(Timestamp::from_micros(1_000_000_000_000));
        Self { cache: AnswerCache::new(CacheTimes::default(), Arc::default()), clock, made: AtomicU32::new(0) }
    }

    /// Asks, and says which answer came and how old it is.
    async fn ask(&self, key: CacheKey, control: &[&str]) -> (String, String) {
        let mut headers = HeaderMap::new();
        for control in control {
            headers.append(CACHE_CONTROL, HeaderValue::from_str(control).unwrap());
        }
        let make = async {
            tokio::task::yield_now().await;
            Ok(Bytes::from(self.made.fetch_add(1, Ordering::SeqCst).to_string()))
        };
        let response = self.cache.answer(key, MINUTE, CacheDirectives::of(&headers), &self.clock, make).await.unwrap();
        let age = response.headers()[AGE].to_str().unwrap().to_owned();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (String::from_utf8(body.to_vec()).unwrap(), age)
    }
}

fn key(tenant: &str, generation: u64, question: &str) -> CacheKey {
    CacheKey::new(&TenantId::parse(tenant).unwrap(), generation, &question).unwrap()
}

fn text(answer: &str, age: &str) -> (String, String) {
    (answer.to_owned(), age.to_owned())
}

#[tokio::test]
async fn an_answer_is_given_again_until_its_time_is_over() {
    let bench = Bench::new();
    assert_eq!(bench.ask(key("t", 0, "q"), &[]).await, text("0", "0"));
    bench.clock.advance(MINUTE - Duration::from_secs(1));
    assert_eq!(bench.ask(key("t", 0, "q"), &[]).await, text("0", "59"));
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(bench.ask(key("t", 0, "q"), &[]).await, text("1", "0"));
    for micros in [0, 4_102_444_800_000_000] {
        bench.clock.set(Timestamp::from_micros(micros));
        assert_eq!(bench.ask(key("t", 0, "q"), &[]).await, text("1", "0"), "F16: no jump of the clock ends it");
    }
}

#[tokio::test]
async fn i5_answers_are_cached_by_tenant_generation_and_question() {
    let bench = Bench::new();
    for (at, key) in [key("t", 0, "q"), key("u", 0, "q"), key("t", 1, "q"), key("t", 0, "r")].into_iter().enumerate() {
        assert_eq!(bench.ask(key, &[]).await.0, at.to_string());
    }
}

#[tokio::test]
async fn a_client_may_ask_for_a_new_answer() {
    let bench = Bench::new();
    bench.ask(key("t", 0, "q"), &[]).await;
    bench.clock.advance(Duration::from_secs(10));
    for (control, answer) in [
        (&["no-cache"][..], "1"),
        (&["max-age=0"], "2"),
        (&["foo", "a=b, No-Cache"], "3"),
        (&["no-store"], "4"),
        (&["max-age=x"], "3"),
        (&["max-age=9"], "3"),
    ] {
        assert_eq!(bench.ask(key("t", 0, "q"), control).await, text(answer, "0"), "{control:?}");
    }
    bench.clock.advance(Duration::from_secs(10));
    assert_eq!(bench.ask(key("t", 0, "q"), &["max-age=11"]).await, text("3", "10"), "young enough");
    assert_eq!(bench.ask(key("t", 0, "q"), &["max-age=10"]).await, text("5", "0"), "too old");
}

#[tokio::test]
async fn answers_given_again_and_answers_made_are_counted() {
    let bench = Bench::new();
    for control in [&[][..], &[], &["no-cache"], &["max-age=9"]] {
        bench.ask(key("t", 0, "q"), control).await;
    }
    bench.clock.advance(MINUTE);
    bench.ask(key("t", 0, "q"), &[]).await;
    let figures = bench.cache.metrics.encode().await;
    assert!(figures.contains("answer_cache_hits_total 2\n"), "{figures}");
    assert!(figures.contains("answer_cache_misses_total 3\n"), "{figures}");
}

#[tokio::test]
async fn an_answer_that_many_wait_for_is_made_once() {
    let bench = Arc::new(Bench::new());
    let ask = |_| {
        let bench = Arc::clone(&bench);
        tokio::spawn(async move { bench.ask(key("t", 0, "q"), &[]).await })
    };
    let asking: Vec<_> = (0..32).map(ask).collect();
    for asked in asking {
        assert_eq!(asked.await.unwrap(), text("0", "0"));
    }
}

#[tokio::test]
async fn a_refusal_is_not_cached_and_blocks_no_other_request() {
    let bench = Bench::new();
    let directives = CacheDirectives::of(&HeaderMap::new());
    let refused = async { Err(Problem::new(ProblemKind::NotFound, "none")) };
    let refused = bench.cache.answer(key("t", 0, "q"), MINUTE, directives, &bench.clock, refused).await;
    assert!(refused.is_err());
    assert_eq!(bench.ask(key("t", 0, "q"), &[]).await.0, "0");
    let given_up = bench.cache.answer(key("t", 0, "r"), MINUTE, directives, &bench.clock, std::future::pending());
    assert!(tokio::time::timeout(Duration::from_millis(5), given_up).await.is_err());
    assert_eq!(bench.ask(key("t", 0, "r"), &[]).await.0, "1");
}

#[tokio::test]
async fn i6_memory_is_bounded_by_bytes_and_number() {
    let clock = ManualClock::new(Timestamp::from_micros(0));
    let cache = AnswerCache::with_bytes(CacheTimes::default(), Arc::default(), 100 * ANSWER_OVERHEAD_BYTES);
    for n in 0..1_000 {
        let bytes = if n % 10 == 0 { 20_000 } else { 1 };
        let make = async { Ok(Bytes::from(vec![b' '; bytes])) };
        let directives = CacheDirectives::of(&HeaderMap::new());
        cache.answer(key("t", 0, &n.to_string()), MINUTE, directives, &clock, make).await.unwrap();
        assert!(cache.answers.weight() <= 100 * ANSWER_OVERHEAD_BYTES);
        assert!(cache.answers.len() <= 100);
    }
}

//! Cases about windows, live counters and sums of hours.

use domain::aggregate::{Slice, TokenClasses, Totals};
use domain::series::SeriesPoint;
use domain::time::{MICROS_PER_DAY, TimeRange, Timestamp};
use domain::window::WindowState;

use super::answers::{Answers, STATES, window_query, windows};
use super::subject::Subject;
use crate::analytics::Analytics;
use crate::ledger::Ledger;
use crate::reports::{Reports, WindowQuery};
use crate::testing::ledger::hours::hour_sums;
use crate::testing::ledger::records::{at, event, scope};

pub(super) async fn a_window_sums_its_events<L: Ledger + Reports>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    let one =
        event("e1", 30).customer("c").endpoint("/a").model("m").tokens(10, 20).token_parts(4, 3, 12).latency_ms(100);
    let two = event("e2", 59).customer("c").endpoint("/a").model("n").tokens(1, 2).latency_ms(51);
    let three = event("e3", 45).customer("c").endpoint("/b");
    let outside = [event("e4", 29).customer("c"), event("e5", 60).customer("c"), event("e6", 45).customer("d")];
    subject.take(&tenant, at(50), &[one]).await;
    subject.take(&tenant, at(50), &outside).await;
    subject.take(&tenant, at(50), &[two, three]).await;
    let found = windows(&*subject.ledger, &tenant, &window_query(), 100).await;
    let window = found.iter().find(|window| window.customer == "c" && window.start == at(30)).expect("the window");
    assert_eq!((window.end, window.state, window.revision), (at(60), WindowState::Open, 1));
    let expected = Totals {
        calls: 3,
        tokens: 33,
        input_tokens: 11,
        output_tokens: 22,
        cache_read_tokens: 4,
        cache_write_tokens: 3,
        reasoning_tokens: 12,
        latency_us: 151_000,
        latency_calls: 2,
        late: 0,
    };
    assert_eq!(window.aggregate.totals, expected);
    assert_eq!(window.aggregate.totals.avg_latency_ms(), Some(75.5));
    let classes = TokenClasses { input: 4, cache_read: 4, cache_write: 3, output: 10, reasoning: 12 };
    assert_eq!(window.aggregate.totals.token_classes(), classes);
    let slices = |slices: &[(&str, u64, u64)]| {
        slices
            .iter()
            .map(|(name, calls, tokens)| ((*name).to_owned(), Slice { calls: *calls, tokens: *tokens }))
            .collect()
    };
    assert_eq!(window.aggregate.by_endpoint, slices(&[("/a", 2, 33), ("/b", 1, 0)]));
    assert_eq!(window.aggregate.by_model, slices(&[("m", 1, 30), ("n", 1, 3)]));
    assert_eq!(found.len(), 4);
}

pub(super) async fn windows_are_filtered_and_listed_page_by_page<L: Ledger + Reports>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    for (n, customer) in (0_i64..).zip(["b", "a", "ab", "b", "a", "ab"]) {
        let batch = [event(&format!("x{n}"), n * 30).customer(customer), event(&format!("y{n}"), n * 15)];
        subject.take(&tenant, at(60), &batch).await;
    }
    subject.close(at(95)).await;
    let ledger = &*subject.ledger;
    let all = windows(ledger, &tenant, &window_query(), 100).await;
    let key = |window: &crate::reports::Window| (window.customer.clone(), window.start);
    assert!(all.is_sorted_by_key(key), "in order of customer and start");
    assert_eq!(all.len(), 6 + 3);
    for limit in [1, 2, 8, 9, 10] {
        assert_eq!(windows(ledger, &tenant, &window_query(), limit).await, all, "pages of {limit}");
    }
    for customer in ["a", "ab", "b", "", "nobody"] {
        let query = WindowQuery { customer: Some(customer.to_owned()), ..window_query() };
        let expected: Vec<_> = all.iter().filter(|window| window.customer == customer).cloned().collect();
        assert_eq!(windows(ledger, &tenant, &query, 2).await, expected, "of {customer:?}");
    }
    for state in STATES {
        let query = WindowQuery { state: Some(state), ..window_query() };
        let expected: Vec<_> = all.iter().filter(|window| window.state == state).cloned().collect();
        assert!(!expected.is_empty(), "{state:?}");
        assert_eq!(windows(ledger, &tenant, &query, 1).await, expected, "{state:?}");
    }
    let range = TimeRange::new(at(31), at(90)).expect("a range");
    let starts: Vec<Timestamp> =
        windows(ledger, &tenant, &WindowQuery { range, ..window_query() }, 100).await.iter().map(|w| w.start).collect();
    assert!(!starts.is_empty() && starts.iter().all(|start| *start == at(60)), "those that start inside: {starts:?}");
    let after = Some(("a".to_owned(), at(1_000)));
    let page = ledger.windows(&tenant, &WindowQuery { after, ..window_query() }).await.expect("windows");
    assert!(page.rows.iter().all(|window| window.customer.as_str() > "a") && !page.rows.is_empty());
}

pub(super) async fn i10_a_window_opens_closes_and_is_revised<L: Ledger + Reports>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    let mut seen = Vec::new();
    // Grace ends 5 s after the window of 0 to 30 s does.
    for (received, close) in [(10, None), (34, Some(34)), (34, Some(35)), (35, None), (90, Some(100)), (34, None)] {
        let id = format!("e{}", seen.len());
        subject.take(&tenant, Timestamp::from_micros(at(received).micros()), &[event(&id, 3).customer("c")]).await;
        if let Some(through) = close {
            subject.close(at(through)).await;
        }
        let window = windows(&*subject.ledger, &tenant, &window_query(), 10).await.pop().expect("the window");
        assert_eq!(window.aggregate.totals.calls, seen.len() as u64 + 1);
        assert_eq!(window.aggregate.totals.late + 1, window.revision);
        seen.push((window.state, window.revision));
    }
    use WindowState::{Closed, Open, Revised};
    assert_eq!(seen, [(Open, 1), (Open, 1), (Closed, 1), (Revised, 2), (Revised, 3), (Revised, 3)]);
}

pub(super) async fn usage_is_of_the_asked_window_and_day<L: Ledger + Reports>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    let day = |n: i64| {
        let from = at(0).plus_micros(n * MICROS_PER_DAY);
        TimeRange::new(from, from.plus_micros(MICROS_PER_DAY)).expect("a day")
    };
    let call = |id: &str, seconds: i64| event(id, seconds).customer("c").endpoint("/a").tokens(1, 1);
    subject.take(&tenant, at(64), &[call("e1", 0), call("e2", 59), call("e3", 60), event("e4", 61)]).await;
    subject.take(&tenant, at(90_000), &[call("e5", -1), call("e6", 86_399), call("e7", 86_400)]).await;
    subject.take(&tenant, at(90_001), &[event("e8", 61).customer("d")]).await;
    subject.close(at(100)).await;
    let ledger = &*subject.ledger;
    let usage = ledger.usage(&tenant, "c", at(59), day(0)).await.expect("usage").expect("a customer");
    let window = &usage.current_window;
    assert_eq!((window.start, window.end, window.aggregate.totals.calls), (at(30), at(60), 1));
    assert_eq!((window.state, window.revision), (WindowState::Closed, 1));
    assert_eq!((usage.day.totals.calls, usage.day.by_endpoint["/a"].calls), (4, 4));
    assert_eq!((usage.customer.total.totals.calls, usage.customer.total.totals.tokens), (6, 12));
    assert_eq!((usage.customer.created, usage.customer.updated), (at(64), at(90_000)));
    let idle = ledger.usage(&tenant, "c", at(1_000), day(2)).await.expect("usage").expect("a customer");
    let window = &idle.current_window;
    assert_eq!((window.start, window.state, window.revision), (at(990), WindowState::Open, 1));
    assert_eq!((window.customer.as_str(), window.aggregate.totals), ("c", Totals::default()));
    assert_eq!(idle.day.totals, Totals::default());
    assert_eq!(idle.customer, usage.customer);
    let nobody = ledger.usage(&tenant, "", at(61), day(0)).await.expect("usage").expect("events of nobody");
    assert_eq!((nobody.customer.id.as_str(), nobody.customer.total.totals.calls), ("", 1));
    assert_eq!(ledger.usage(&tenant, "e", at(61), day(0)).await.expect("usage"), None);
    assert_eq!(ledger.usage(&scope("zeta"), "c", at(61), day(0)).await.expect("usage"), None, "I5");
}

pub(super) async fn hours_are_summed_per_project_and_type<L: Ledger + Reports + Analytics>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    let call = |id: &str, seconds: i64| event(id, seconds).kind("call").tokens(1, 2);
    subject.take(&tenant, at(10), &[call("e1", 0), call("e2", 3_599).project("p"), event("e3", 1).kind("b")]).await;
    subject.take(&tenant, at(8_000), &[call("e4", 2), call("e5", 3_600), call("e6", -1)]).await;
    subject.take(&scope("zeta"), at(10), &[call("e1", 0)]).await;
    let range = |from, to| TimeRange::new(at(from), at(to)).expect("a range");
    let told = async |range| {
        let hours = hour_sums(&*subject.ledger, &tenant, range).await.expect("sums of hours");
        let line = |sums: &SeriesPoint| {
            let hour = (sums.start.micros() - at(0).micros()) / 3_600_000_000;
            format!("{}/{hour}: {} {}", sums.group.join("/"), sums.totals.calls, sums.totals.tokens)
        };
        hours.iter().map(line).collect::<Vec<_>>()
    };
    let all = ["/call/-1: 1 3", "/b/0: 1 0", "/call/0: 2 6", "p/call/0: 1 3", "/call/1: 1 3"];
    assert_eq!(told(TimeRange::ALL).await, all);
    assert_eq!(told(range(0, 3_600)).await, all[1..4]);
    assert_eq!(told(range(1, 3_601)).await, ["/b/0: 1 0", "/call/0: 1 3", "p/call/0: 1 3", "/call/1: 1 3"]);
    assert_eq!(told(range(3, 3_599)).await, [] as [&str; 0]);
}

pub(super) async fn i5_two_tenants_never_mix<L: Ledger + Reports + Analytics>(mut subject: Subject<L>) {
    let (acme, zeta) = (scope("acme"), scope("zeta"));
    let mut before = None;
    for n in 0..8 {
        let shared = event(&format!("e{n}"), n * 7).customer("c").user("u").kind("call").endpoint("/a").model("m");
        if n < 4 {
            subject.take(&acme, at(n * 10), std::slice::from_ref(&shared)).await;
        } else if before.is_none() {
            before = Some(Answers::of(&*subject.ledger, &acme, &["c", "", "z"], at(10)).await);
        }
        let more = event(&format!("z{n}"), n * 7).customer("z").kind("zeta's");
        subject.take(&zeta, at(n * 10), &[shared.tokens(5, 5).project("p"), more]).await;
    }
    let after = Answers::of(&*subject.ledger, &acme, &["c", "", "z"], at(10)).await;
    assert_eq!(Some(&after), before.as_ref(), "what another tenant does changes nothing");
    assert_eq!(after.events.len(), 4);
    let other = Answers::of(&*subject.ledger, &zeta, &["c"], at(10)).await;
    assert_eq!(other.events.len(), 16);
    let calls = |answers: &Answers| answers.hours.iter().map(|hour| hour.totals.calls).sum::<u64>();
    assert_eq!((calls(&after), calls(&other)), (4, 16));
}

pub(super) async fn windows_follow_the_rule<L: Ledger + Reports>(mut subject: Subject<L>) {
    let tenant = scope("acme");
    subject.take(&tenant, at(59), &[event("e1", 0).customer("c"), event("e2", 59).customer("c")]).await;
    subject.take(&tenant, at(60), &[event("e3", 59).customer("c")]).await;
    let found = windows(&*subject.ledger, &tenant, &window_query(), 10).await;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].start, found[0].end, found[0].revision), (at(0), at(60), 2), "60 s without a grace");
}

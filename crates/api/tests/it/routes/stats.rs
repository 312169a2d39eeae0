//! `GET /stats/dau`, `wau`, `mau`, `top-events` and `retention`, also under `/v1`.

use serde_json::{Value, json};

use crate::harness::{KEY_A, TestApi};

/// A server with `(user, type, project, time)` counted.
async fn with(events: &[(&str, &str, &str, &str)]) -> TestApi {
    let api = TestApi::start().await;
    let events: Vec<Value> = events
        .iter()
        .enumerate()
        .map(|(n, (user, kind, project, time))| {
            let text = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
            json!({"id": n.to_string(), "user": text(user), "type": kind, "project": text(project), "time": time})
        })
        .collect();
    api.post("/v1/events", serde_json::to_vec(&events).unwrap()).await.json(202);
    api
}

async fn rows(api: &TestApi, path: &str) -> Vec<(String, u64)> {
    let answer = api.get(path).await.json(200);
    let rows = answer["data"].as_array().unwrap();
    rows.iter().map(|row| (row["date"].as_str().unwrap().to_owned(), row["users"].as_u64().unwrap())).collect()
}

fn row(date: &str, users: u64) -> (String, u64) {
    (date.to_owned(), users)
}

#[tokio::test]
async fn every_day_has_a_row_and_each_user_counts_once() {
    let api = with(&[
        ("u", "login", "p", "2026-11-01T00:00:00Z"),
        ("u", "click", "", "2026-11-01T23:59:59.999999Z"),
        ("v", "login", "p", "2026-11-01T12:00:00Z"),
        ("", "login", "p", "2026-11-02T12:00:00Z"),
        ("u", "login", "p", "2026-11-03T00:00:00Z"),
    ])
    .await;
    let answer = api.get("/stats/dau?from=2026-11-01&to=2026-11-03").await.json(200);
    let day = |date: &str, users: u64| json!({"date": date, "users": users});
    let data = [day("2026-11-01", 2), day("2026-11-02", 0), day("2026-11-03", 1)];
    assert_eq!(answer, json!({"tz": "UTC", "data": data}));
    assert_eq!(api.get("/v1/stats/dau?from=2026-11-01&to=2026-11-03").await.json(200), answer);
    let count =
        async |filter: &str| rows(&api, &format!("/stats/dau?from=2026-11-01&to=2026-11-01&{filter}")).await[0].1;
    for (filter, users) in
        [("type=click", 1), ("project=p", 2), ("project=", 1), ("project=p&type=click", 0), ("type=x", 0)]
    {
        assert_eq!(count(filter).await, users, "{filter}");
    }
    let cut = "/stats/dau?from=2026-11-01T12:00:01Z&to=2026-11-03T00:00:00Z";
    assert_eq!(rows(&api, cut).await, [row("2026-11-01", 1), row("2026-11-02", 0)], "instants are half-open");
    let last = rows(&api, "/stats/dau").await;
    assert_eq!((last.len(), &last[0].0, &last[29].0), (30, &"2026-10-23".to_owned(), &"2026-11-21".to_owned()));
    assert_eq!(
        api.send("GET", "/stats/dau?to=2026-11-03", &[("x-api-key", KEY_A)], "").await.json(200)["data"][29]["users"],
        0,
        "I5"
    );
}

#[tokio::test]
async fn days_follow_the_zone_east_west_and_when_clocks_change() {
    let api = with(&[
        ("u", "t", "", "2026-10-25T22:30:00Z"),
        ("v", "t", "", "2026-10-25T23:30:00Z"),
        ("w", "t", "", "2026-03-08T04:30:00Z"),
    ])
    .await;
    let berlin = api.get("/stats/dau?tz=europe/berlin&from=2026-10-25&to=2026-10-26").await.json(200);
    assert_eq!(berlin["tz"], "Europe/Berlin");
    assert_eq!(berlin["data"], json!([{"date": "2026-10-25", "users": 1}, {"date": "2026-10-26", "users": 1}]));
    let west = rows(&api, "/stats/dau?tz=America/New_York&from=2026-03-07&to=2026-03-08").await;
    assert_eq!(west, [row("2026-03-07", 1), row("2026-03-08", 0)]);
    let east = rows(&api, "/stats/dau?tz=Pacific/Kiritimati&from=2026-03-07&to=2026-03-08").await;
    assert_eq!(east, [row("2026-03-07", 0), row("2026-03-08", 1)]);
}

#[tokio::test]
async fn weeks_and_months_are_dated_by_their_first_day() {
    let api = with(&[
        ("u", "t", "", "2026-11-02T00:00:00Z"),
        ("u", "t", "", "2026-11-08T00:00:00Z"),
        ("v", "t", "", "2026-11-09T00:00:00Z"),
        ("v", "t", "", "2026-10-31T00:00:00Z"),
    ])
    .await;
    let weeks = rows(&api, "/stats/wau?from=2026-11-03&to=2026-11-09").await;
    assert_eq!(weeks, [row("2026-11-02", 1), row("2026-11-09", 1)], "only days inside the range count");
    let sundays = rows(&api, "/stats/wau?from=2026-11-01&to=2026-11-09&week_start=sunday").await;
    assert_eq!(sundays, [row("2026-11-01", 1), row("2026-11-08", 2)]);
    let months = rows(&api, "/v1/stats/mau?from=2026-10-01&to=2026-11-30").await;
    assert_eq!(months, [row("2026-10-01", 1), row("2026-11-01", 2)]);
    assert_eq!(rows(&api, "/stats/wau").await.len(), 12);
    let year = rows(&api, "/stats/mau").await;
    assert_eq!((year.len(), &year[0]), (12, &row("2025-12-01", 0)));
    let sent = api
        .send("PATCH", "/v1/settings", &[("content-type", "application/json")], r#"{"week_start": "saturday"}"#)
        .await;
    sent.json(200);
    assert_eq!(
        rows(&api, "/stats/wau?from=2026-11-01&to=2026-11-07").await,
        [row("2026-10-31", 1), row("2026-11-07", 0)]
    );
}

#[tokio::test]
async fn rolling_rows_look_back_also_before_the_range() {
    let api = with(&[
        ("u", "t", "", "2026-11-01T00:00:00Z"),
        ("v", "t", "", "2026-11-07T00:00:00Z"),
        ("w", "t", "", "2026-11-08T12:00:00Z"),
    ])
    .await;
    let range = "from=2026-11-07&to=2026-11-09&rolling=true";
    let week = rows(&api, &format!("/stats/wau?{range}")).await;
    assert_eq!(week, [row("2026-11-07", 2), row("2026-11-08", 2), row("2026-11-09", 2)]);
    let month = rows(&api, &format!("/stats/mau?{range}")).await;
    assert_eq!(month, [row("2026-11-07", 2), row("2026-11-08", 3), row("2026-11-09", 3)]);
    let day = rows(&api, &format!("/stats/dau?{range}")).await;
    assert_eq!(day, rows(&api, "/stats/dau?from=2026-11-07&to=2026-11-09").await);
}

#[tokio::test]
async fn top_events_come_most_first_then_by_type() {
    let api = with(&[
        ("u", "click", "p", "2026-11-01T00:00:00Z"),
        ("u", "login", "p", "2026-11-02T00:00:00Z"),
        ("u", "login", "", "2026-11-03T00:00:00Z"),
        ("", "buy", "p", "2026-11-03T00:00:00Z"),
    ])
    .await;
    let top = async |query: &str| api.get(&format!("/stats/top-events?{query}")).await.json(200);
    let count = |kind: &str, count: u64| json!({"type": kind, "count": count});
    assert_eq!(
        top("").await,
        json!({"tz": "UTC", "from": null, "to": null, "data": [count("login", 2), count("buy", 1), count("click", 1)]})
    );
    let day = top("from=2026-11-02&to=2026-11-02&tz=Europe/Berlin").await;
    let range = (&day["tz"], &day["from"], &day["to"]);
    assert_eq!(range, (&json!("Europe/Berlin"), &json!("2026-11-01T23:00:00Z"), &json!("2026-11-02T23:00:00Z")));
    assert_eq!(top("limit=1").await["data"], json!([count("login", 2)]));
    assert_eq!(top("project=p&from=2026-11-02").await["data"], json!([count("buy", 1), count("login", 1)]));
    assert_eq!(top("to=2026-11-01&tz=America/New_York").await["data"], json!([count("click", 1), count("login", 1)]));
}

#[tokio::test]
async fn retention_has_the_documented_shape() {
    let api = with(&[
        ("u", "t", "", "2026-11-03T00:00:00Z"),
        ("v", "t", "", "2026-11-04T00:00:00Z"),
        ("u", "t", "", "2026-11-20T00:00:00Z"),
        ("w", "t", "", "2026-11-12T00:00:00Z"),
    ])
    .await;
    let cell = |n: u64, users: u64, ratio: f64, complete: bool| json!({"n": n, "users": users, "ratio": ratio, "complete": complete});
    // It is Saturday: the week of the 16th has not ended.
    let on = api.get("/stats/retention?from=2026-11-05&to=2026-11-17").await.json(200);
    assert_eq!(
        on,
        json!({
            "period": "weekly",
            "cohorts": [
                {"cohort": "2026-11-02", "size": 2,
                    "cells": [cell(0, 2, 1.0, true), cell(1, 0, 0.0, true), cell(2, 1, 0.5, false)]},
                {"cohort": "2026-11-09", "size": 1, "cells": [cell(0, 1, 1.0, true), cell(1, 0, 0.0, false)]},
                {"cohort": "2026-11-16", "size": 0,
                    "cells": [{"n": 0, "users": 0, "ratio": null, "complete": false}]},
            ],
            "averages": [
                {"n": 0, "users": 3, "eligible": 3, "ratio": 1.0},
                {"n": 1, "users": 0, "eligible": 2, "ratio": 0.0},
            ],
        })
    );
    let after =
        api.get("/v1/stats/retention?from=2026-11-02&to=2026-11-08&variant=on_or_after&periods=1").await.json(200);
    assert_eq!(after["cohorts"][0]["cells"], json!([cell(0, 2, 1.0, true), cell(1, 1, 0.5, true)]));
    let daily = api.get("/stats/retention?period=daily&from=2026-11-03&to=2026-11-04&periods=1").await.json(200);
    assert_eq!(daily["period"], "daily");
    assert_eq!(daily["cohorts"][0]["size"], 1);
    let usual = api.get("/stats/retention").await.json(200);
    assert_eq!(
        (usual["cohorts"].as_array().unwrap().len(), &usual["cohorts"][0]["cohort"]),
        (12, &json!("2026-08-31"))
    );
    let usual = api.get("/stats/retention?period=daily").await.json(200);
    assert_eq!(usual["cohorts"].as_array().unwrap().len(), 30);
}

#[tokio::test]
async fn a_late_earlier_event_moves_its_user_to_the_older_cohort() {
    let api = with(&[("u", "t", "", "2026-11-10T00:00:00Z"), ("u", "other", "", "2026-11-02T00:00:00Z")]).await;
    let sizes = async || {
        let answer = api.get("/stats/retention?from=2026-11-02&to=2026-11-10&type=t").await.json(200);
        [answer["cohorts"][0]["size"].clone(), answer["cohorts"][1]["size"].clone()]
    };
    assert_eq!(sizes().await, [0, 1], "the first event of the type asked for");
    api.post("/v1/events", r#"{"id": "late", "user": "u", "type": "t", "time": "2026-11-03"}"#).await.json(202);
    assert_eq!(sizes().await, [1, 0]);
}

#[tokio::test]
async fn i9_bad_questions_are_refused_by_name() {
    let api = TestApi::start().await;
    let keys = vec!["type"; 1_000].join(",");
    let long = "x".repeat(10_000);
    let cases = [
        ("/stats/dau?tz=Mars/Olympus".to_owned(), "tz"),
        ("/stats/dau?tz=".to_owned(), "tz"),
        ("/stats/dau?tz=../../../etc/passwd".to_owned(), "tz"),
        ("/stats/dau?tz=UTC%00".to_owned(), "tz"),
        ("/stats/dau?tz=Europe%5CBerlin".to_owned(), "tz"),
        ("/stats/dau?tz=EST5EDT,M3.2.0,M11.1.0".to_owned(), "tz"),
        (format!("/stats/dau?tz={long}"), "tz"),
        ("/stats/dau?from=2026-02-30".to_owned(), "from"),
        ("/stats/dau?from=2026-11-31".to_owned(), "from"),
        ("/stats/dau?to=2025-02-29".to_owned(), "to"),
        ("/stats/dau?to=0000-01-01".to_owned(), "to"),
        ("/stats/dau?from=1026-01-01&to=2026-01-01".to_owned(), "from"),
        ("/stats/dau?from=0001-01-01&to=9999-12-31".to_owned(), "from"),
        ("/stats/wau?from=0001-01-01&to=9999-12-31".to_owned(), "from"),
        ("/stats/wau?from=2000-01-01&to=2026-01-01&rolling=true".to_owned(), "from"),
        ("/stats/mau?from=0001-01-01&to=9999-12-31".to_owned(), "from"),
        ("/stats/retention?from=1026-01-01".to_owned(), "from"),
        ("/stats/retention?period=daily&from=2020-01-01&periods=366".to_owned(), "periods"),
        ("/stats/dau?from=2026-11-02&to=2026-11-01".to_owned(), "from"),
        ("/stats/dau?from=2026-11-22".to_owned(), "from"),
        ("/stats/dau?rolling=yes".to_owned(), "rolling"),
        ("/stats/dau?type=".to_owned(), "type"),
        ("/stats/dau?week_start=sunday".to_owned(), "week_start"),
        ("/stats/wau?week_start=friday".to_owned(), "week_start"),
        ("/stats/dau?limit=1".to_owned(), "limit"),
        ("/stats/dau?from=2026-11-01&from=2026-11-02".to_owned(), "from"),
        ("/stats/top-events?limit=0".to_owned(), "limit"),
        ("/stats/top-events?limit=1001".to_owned(), "limit"),
        ("/stats/top-events?limit=99999999999999999999".to_owned(), "limit"),
        ("/stats/top-events?limit=NaN".to_owned(), "limit"),
        ("/stats/top-events?from=%27%20OR%201=1--".to_owned(), "from"),
        ("/stats/retention?period=monthly".to_owned(), "period"),
        ("/stats/retention?variant=never".to_owned(), "variant"),
        ("/stats/retention?periods=367".to_owned(), "periods"),
        ("/stats/retention?periods=-1".to_owned(), "periods"),
        ("/accounts/sample?limit=0".to_owned(), "limit"),
        ("/accounts/sample?limit=101".to_owned(), "limit"),
        ("/accounts/c/summary?window=last_year".to_owned(), "window"),
        ("/accounts/c/summary?window=last_24h&from=2026-11-01".to_owned(), "window"),
        ("/accounts/c/summary?to=2026-11-01".to_owned(), "from"),
        ("/accounts/c/summary?from=2026-11-22".to_owned(), "from"),
        ("/accounts/c/summary?top=0".to_owned(), "top"),
        ("/accounts/%FF/summary".to_owned(), "id"),
        ("/v1/analytics?metric=sum(tokens)".to_owned(), "metric"),
        ("/v1/analytics?interval=second".to_owned(), "interval"),
        ("/v1/analytics?group_by=colour".to_owned(), "group_by"),
        ("/v1/analytics?group_by=".to_owned(), "group_by"),
        ("/v1/analytics?group_by=type,type".to_owned(), "group_by"),
        (format!("/v1/analytics?group_by={keys}"), "group_by"),
        ("/v1/analytics?group_by=type%3B%20DROP%20TABLE%20events".to_owned(), "group_by"),
        ("/v1/analytics?user=u".to_owned(), "user"),
        ("/v1/analytics?tz=Nowhere".to_owned(), "tz"),
        ("/stats/dau?tz=Factory".to_owned(), "tz"),
        ("/v1/analytics?tz=Etc/Unknown".to_owned(), "tz"),
    ];
    for (path, field) in &cases {
        let problem = api.get(path).await.problem(400);
        assert_eq!(problem["field"], *field, "{path}: {problem}");
        assert!(*field == "id" || problem["detail"].as_str().unwrap().contains(field), "{path}: {problem}");
    }
}

#[tokio::test]
async fn a_to_at_midnight_means_exactly_the_days_before_it_in_every_statistic() {
    let api = with(&[
        ("u", "t", "", "2026-11-17T23:00:00Z"),
        ("v", "t", "", "2026-11-18T22:59:59.999999Z"),
        ("w", "t", "", "2026-11-18T23:00:00Z"),
    ])
    .await;
    // In Berlin the 18th lasts from 23:00 to 23:00 in UTC.
    let cache = [("cache-control", "no-cache")];
    for (path, count) in [
        ("/stats/dau?", "/data/0/users"),
        ("/stats/wau?", "/data/0/users"),
        ("/stats/mau?", "/data/0/users"),
        ("/stats/dau?rolling=true&", "/data/0/users"),
        ("/stats/wau?rolling=true&", "/data/0/users"),
        ("/stats/top-events?", "/data/0/count"),
        ("/stats/retention?period=daily&periods=0&", "/cohorts/0/size"),
        ("/v1/analytics?interval=day&", "/data/0/value"),
        ("/v1/analytics?interval=hour&", "/data/23/value"),
    ] {
        let ask = async |from: &str, to: &str| {
            let path = format!("{path}tz=Europe/Berlin&from={from}&to={to}");
            api.send("GET", &path, &cache, "").await.json(200)
        };
        let day = ask("2026-11-18", "2026-11-18").await;
        let expected = if count.contains("23") { 1 } else { 2 };
        assert_eq!(day.pointer(count), Some(&json!(expected)), "{path}: {day}");
        for from in ["2026-11-18", "2026-11-17T23:00:00Z", "2026-11-18T00:00:00%2B01:00"] {
            for to in ["2026-11-18T23:00:00Z", "2026-11-19T00:00:00%2B01:00"] {
                assert_eq!(ask(from, to).await, day, "{path} {from} {to}");
            }
        }
        let more = ask("2026-11-18", "2026-11-18T23:00:00.000001Z").await;
        assert_ne!(more, day, "{path}: one instant of the next day is inside");
    }
}

#[tokio::test]
async fn i6_a_series_of_too_many_points_is_refused() {
    let api = with(&[("u", "t", "", "2026-11-01T00:00:00Z")]).await;
    for query in [
        "interval=minute&from=2026-11-01&to=2026-11-08",
        "interval=hour&from=1026-01-01&to=2026-01-01",
        "from=0001-01-01&to=9999-12-31",
    ] {
        let problem = api.get(&format!("/v1/analytics?{query}")).await.problem(422);
        assert_eq!(problem["type"], "urn:nilometer:problem:query-too-large", "{query}");
        assert_eq!(problem["field"], "interval", "{query}");
    }
    for first in [0, 6_000] {
        let event =
            |n: u32| json!({"id": format!("g{n}"), "type": "t", "customer": format!("c{n}"), "time": "2026-11-02"});
        let events: Vec<Value> = (first..first + 6_000).map(event).collect();
        api.post("/v1/events", serde_json::to_vec(&events).unwrap()).await.json(202);
    }
    // Two buckets: of more groups than fit, the greatest and the others.
    let answer = api.get("/v1/analytics?interval=day&from=2026-11-01&group_by=customer").await.json(200);
    assert_eq!(
        answer["data"].as_array().unwrap().len(),
        5_000,
        "4,999 groups, one of them on the first day, and the others"
    );
    let grouped = "/v1/analytics?interval=month&from=0001-01-01&to=9999-12-31&group_by=type";
    assert_eq!(api.get(grouped).await.json(200)["data"].as_array().unwrap().len(), 1, "only buckets with events");
}

#[tokio::test]
async fn i9_strange_values_of_filters_match_nothing_and_break_nothing() {
    let api = with(&[("u", "t", "p", "2026-11-20T00:00:00Z")]).await;
    for strange in [
        "%27%20OR%20%271%27=%271",
        ".*",
        "%25",
        "%00",
        "%F0%9F%92%A3",
        "p%00",
        "(p%7Ct)",
        "%7B%7B7*7%7D%7D",
        "p%2F..%2Fp",
    ] {
        let total = async |path: String| {
            let answer = api.get(&path).await.json(200);
            let rows = answer["data"].as_array().unwrap().clone();
            rows.iter()
                .filter_map(|row| row["users"].as_u64().or(row["value"].as_u64()).or(row["count"].as_u64()))
                .sum::<u64>()
        };
        for path in [
            "/stats/dau?project=",
            "/stats/dau?type=",
            "/stats/top-events?project=",
            "/v1/analytics?interval=day&model=",
        ] {
            assert_eq!(total(format!("{path}{strange}")).await, 0, "{path}{strange}");
        }
        api.get(&format!("/accounts/{strange}/summary")).await.problem(404);
        let retention = api.get(&format!("/stats/retention?type={strange}")).await.json(200);
        assert_eq!(retention["averages"], json!([]), "{strange}");
    }
}

//! A cursor is good for the question that it was made for, and for no other (I5, I9).

use serde_json::{Value, json};

use crate::harness::{KEY_A, KEY_B, Reply, TestApi};

/// Three events of three customers in three windows, of each of two tenants.
async fn with_events() -> TestApi {
    let api = TestApi::start().await;
    let event = |n: u32| {
        let time = format!("2026-11-20T10:0{n}:00Z");
        json!({"id": format!("e{n}"), "customer": format!("c{n}"), "user": "u", "type": "t", "time": time})
    };
    let events = serde_json::to_vec(&[event(1), event(2), event(3)]).unwrap();
    for key in [KEY_A, KEY_B] {
        let headers = [("x-api-key", key), ("content-type", "application/json")];
        api.send("POST", "/v1/events?wait=applied", &headers, events.clone()).await.json(202);
    }
    api
}

async fn get(api: &TestApi, key: &str, path: &str) -> Reply {
    api.send("GET", path, &[("x-api-key", key)], "").await
}

/// The cursor after the first row of a listing.
async fn cursor(api: &TestApi, path: &str) -> String {
    let page = get(api, KEY_A, path).await.json(200);
    page["next_cursor"].as_str().unwrap().to_owned()
}

fn assert_refused(reply: &Reply, why: &str) {
    let problem = reply.problem(400);
    assert_eq!(
        (&problem["field"], &problem["type"]),
        (&json!("cursor"), &json!("urn:nilometer:problem:invalid-parameter")),
        "{why}"
    );
}

const LISTINGS: [&str; 3] = ["/v1/events?", "/v1/windows?", "/v1/customers?"];

#[tokio::test]
async fn i5_a_cursor_of_another_tenant_or_listing_is_refused() {
    let api = with_events().await;
    for listing in LISTINGS {
        let cursor = cursor(&api, &format!("{listing}limit=1")).await;
        let next = |listing: &str| format!("{listing}limit=2&cursor={cursor}");
        let page = get(&api, KEY_A, &next(listing)).await.json(200);
        assert_eq!(page["data"].as_array().unwrap().len(), 2, "{listing}: another limit is the same question");
        assert_refused(&get(&api, KEY_B, &next(listing)).await, "another tenant");
        for other in LISTINGS.into_iter().filter(|other| *other != listing) {
            assert_refused(&get(&api, KEY_A, &next(other)).await, "another listing");
        }
        let made_up = cursor.replace('a', "b");
        assert_refused(&get(&api, KEY_A, &format!("{listing}cursor={made_up}")).await, "made up");
    }
}

#[tokio::test]
async fn a_cursor_of_other_filters_or_another_order_is_refused() {
    let api = with_events().await;
    for (listing, filters) in [
        ("/v1/events?", &["order=asc", "user=u", "type=t", "from=2026-11-20", "to=2026-11-20", "customer=c1"][..]),
        ("/v1/windows?", &["state=closed", "from=2026-11-20", "to=2026-11-21", "customer=c1"]),
    ] {
        let cursor = cursor(&api, &format!("{listing}limit=1")).await;
        for filter in filters {
            let reply = get(&api, KEY_A, &format!("{listing}{filter}&cursor={cursor}")).await;
            assert_refused(&reply, &format!("{listing}{filter}"));
        }
    }
    let same = cursor(&api, "/v1/events?limit=1&from=2026-11-20&to=2026-11-20").await;
    let path = format!("/v1/events?from=2026-11-20T00:00:00Z&to=2026-11-21T00:00:00Z&cursor={same}");
    assert_eq!(get(&api, KEY_A, &path).await.status, 200, "the same range in other words is the same question");
}

#[tokio::test]
async fn a_cursor_from_before_a_change_of_the_zone_is_refused() {
    let api = with_events().await;
    let mut cursors = Vec::new();
    for listing in LISTINGS {
        cursors.push((listing, cursor(&api, &format!("{listing}limit=1")).await));
    }
    let headers = [("x-api-key", KEY_A), ("content-type", "application/json")];
    let zone = |name: &str| json!({ "timezone": name }).to_string();
    api.send("PATCH", "/v1/settings", &headers, zone("Asia/Tokyo")).await.json(200);
    for (listing, cursor) in &cursors {
        assert_refused(&get(&api, KEY_A, &format!("{listing}cursor={cursor}")).await, listing);
    }
    let utc: Value = get(&api, KEY_A, &format!("/v1/events?tz=UTC&cursor={}", cursors[0].1)).await.json(200);
    assert_eq!(utc["data"].as_array().unwrap().len(), 2, "asked for in the zone that it was made for");
}

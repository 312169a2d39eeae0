//! Non-interference: what a workspace sees is what it would see if no other had ever been there.

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::{Value, json};

use super::cast::{Cast, by, new_key, send, tenant};
use domain::access::rights::KeyScope;

/// Something that a workspace does.
#[derive(Debug, Clone)]
enum Step {
    Send(u8, u8, u8),
    Settings(&'static str),
    Reference(u8),
    Customer(u8),
    Project(u8),
    Key,
    Invite(u8),
    Forbidden,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..4_u8, 0..3_u8, 0..3_u8).prop_map(|(id, customer, user)| Step::Send(id, customer, user)),
        1 => prop::sample::select(vec!["monday", "sunday", "saturday"]).prop_map(Step::Settings),
        1 => (0..3_u8).prop_map(Step::Reference),
        1 => (0..3_u8).prop_map(Step::Customer),
        1 => (0..3_u8).prop_map(Step::Project),
        1 => Just(Step::Key),
        1 => (0..3_u8).prop_map(Step::Invite),
        1 => Just(Step::Forbidden),
    ]
}

/// A server with the workspaces `a` and, if asked for, `b`: the credential of each that may do most.
struct World {
    cast: Cast,
    bearer_of_b: String,
}

impl World {
    async fn new() -> Self {
        let cast = Cast::new().await;
        let all = new_key(&KeyScope::ALL);
        let made = cast.api.access.create_key(&by(), Some(&tenant("b")), all, None).await.unwrap();
        Self { bearer_of_b: format!("Bearer {}", made.text.unwrap()), cast }
    }

    async fn take(&self, in_a: bool, step: &Step) -> (u16, Value) {
        let bearer = if in_a { self.cast.bearer("owner") } else { self.bearer_of_b.clone() };
        let ask = async |method: &str, path: &str, body: Value| {
            let reply = send(&self.cast.api, &bearer, method, path, &[], body).await;
            (reply.status, serde_json::from_slice(&reply.body).unwrap_or_default())
        };
        match step {
            Step::Send(id, customer, user) => {
                let event = json!({
                    "id": format!("e{id}"), "customer": format!("c{customer}"), "user": format!("u{user}"),
                    "time": "2026-11-21T10:00:00Z", "tokens": 1 + customer,
                });
                ask("POST", "/v1/events?wait=applied", event).await
            }
            Step::Settings(day) => ask("PATCH", "/v1/settings", json!({"week_start": day})).await,
            Step::Reference(at) => {
                let table = json!({"ts": format!("2026-11-21T10:00:0{at}Z"), "user_metadata": {"u1": {"plan": format!("p{at}")}}});
                ask("PUT", "/reference/users", table).await
            }
            Step::Customer(customer) => ask("PATCH", &format!("/v1/customers/c{customer}"), json!({"name": "N"})).await,
            Step::Project(id) => ask("POST", "/v1/projects", json!({"id": format!("p{id}")})).await,
            Step::Key => ask("POST", "/v1/keys", json!({"name": "k", "scopes": ["read"]})).await,
            Step::Invite(who) => {
                ask("POST", "/v1/invitations", json!({"email": format!("i{who}@example.com"), "role": "viewer"})).await
            }
            Step::Forbidden => {
                let refused = if in_a {
                    let refused = self.cast.ask("viewer", "GET", "/v1/keys", Value::Null).await;
                    (refused.status, serde_json::from_slice(&refused.body).unwrap())
                } else {
                    ask("GET", "/v1/members", Value::Null).await
                };
                // Written beside the answer, and once a minute.
                while in_a
                    && ask("GET", "/v1/audit?action=permission.refused", Value::Null).await.1["data"] == json!([])
                {
                }
                refused
            }
        }
    }

    /// Everything that the owner of `a` can read.
    async fn seen(&self) -> Vec<(&'static str, u16, Value)> {
        const PATHS: [&str; 20] = [
            "/v1/events",
            "/v1/events/e1",
            "/v1/windows",
            "/v1/customers",
            "/v1/customers/c1",
            "/v1/customers/c1/usage",
            "/accounts/sample",
            "/accounts/c1/summary?window=last_7d",
            "/stats/dau",
            "/stats/wau",
            "/stats/top-events",
            "/stats/retention",
            "/v1/analytics?metric=tokens&group_by=customer",
            "/v1/settings",
            "/reference/users",
            "/v1/live?window=300",
            "/v1/workspace",
            "/v1/projects",
            "/v1/members",
            "/v1/audit?limit=1000",
        ];
        let mut all = Vec::new();
        for path in PATHS {
            let reply = self.cast.ask("owner", "GET", path, Value::Null).await;
            let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            all.push((path, reply.status, plain(body)));
        }
        all
    }
}

/// Without what is chosen at random: ids, hashes over them, and what is made of them.
fn plain(mut value: Value) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for name in [
                    "request_id",
                    "receipt",
                    "user",
                    "hash",
                    "actor",
                    "created_by",
                    "target",
                    "id",
                    "prefix",
                    "key",
                    "token",
                    "next_cursor",
                ] {
                    if let Some(field) =
                        fields.get_mut(name).filter(|field| field.as_str().is_some_and(|text| text.len() > 8))
                    {
                        *field = json!("…");
                    }
                }
                fields.values_mut().for_each(walk);
            }
            Value::Array(items) => {
                items.iter_mut().for_each(walk);
                if items.iter().all(|item| item.get("email").is_some()) {
                    // In the order of their ids.
                    items.sort_by_key(|item| item["email"].to_string());
                }
            }
            _ => {}
        }
    }
    walk(&mut value);
    value
}

async fn agree(steps: Vec<(bool, Step)>) -> Result<(), TestCaseError> {
    let (both, alone) = (World::new().await, World::new().await);
    for (in_a, step) in &steps {
        let answer = both.take(*in_a, step).await;
        if *in_a {
            let (status, body) = alone.take(true, step).await;
            prop_assert_eq!((answer.0, plain(answer.1)), (status, plain(body)), "{:?}", step);
        }
    }
    prop_assert_eq!(both.seen().await, alone.seen().await);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, max_shrink_iters: 20, ..ProptestConfig::default() })]

    #[test]
    fn i5_what_a_workspace_sees_is_as_if_the_other_had_never_been(
        steps in prop::collection::vec((any::<bool>(), step()), 1..30),
    ) {
        tokio::runtime::Runtime::new()?.block_on(agree(steps))?;
    }
}

/// A foreign id and one that nobody has are answered alike, after the same work: as many calls of the stores.
#[tokio::test]
async fn f36_a_foreign_id_costs_as_much_as_one_that_is_not_there() {
    let world = World::new().await;
    let (cast, in_b) = (&world.cast, |step| world.take(false, step));
    in_b(&Step::Send(1, 1, 1)).await;
    in_b(&Step::Project(1)).await;
    let theirs = in_b(&Step::Key).await.1;
    let key = theirs["id"].as_str().unwrap();
    let receipt = in_b(&Step::Send(2, 1, 1)).await.1["receipt"].as_str().unwrap().to_owned();
    for (foreign, unknown) in [
        ("/v1/events/e1".to_owned(), "/v1/events/e9"),
        ("/v1/customers/c1".to_owned(), "/v1/customers/c9"),
        ("/v1/customers/c1/usage".to_owned(), "/v1/customers/c9/usage"),
        ("/accounts/c1/summary".to_owned(), "/accounts/c9/summary"),
        (format!("/v1/keys/{key}"), "/v1/keys/AAAAAAAAAAAA"),
        (format!("/v1/receipts/{receipt}"), "/v1/receipts/00000000000000000000"),
    ] {
        let ask = async |path: &str| {
            let before = cast.api.calls();
            let reply = cast.ask("owner", "GET", path, Value::Null).await;
            let mut body: Value = serde_json::from_slice(&reply.body).unwrap();
            body.as_object_mut().unwrap().remove("request_id");
            let mut text = body.to_string();
            for id in ["c1", "c9", "e1", "e9"] {
                text = text.replace(id, "…");
            }
            (reply.status, text, cast.api.calls() - before)
        };
        let (of_b, of_nobody) = (ask(&foreign).await, ask(unknown).await);
        assert_eq!(of_b.0, 404, "{foreign}");
        assert_eq!(of_b, of_nobody, "{foreign}");
    }
}

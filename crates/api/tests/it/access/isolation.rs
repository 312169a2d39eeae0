//! Non-interference: what a workspace sees is what it would see if no other had ever been there.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::{Value, json};

use super::cast::{Cast, by, new_key, send, tenant};
use domain::access::rights::{KeyScope, Role};

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
        Self { bearer_of_b: format!("Bearer {}", made.text.unwrap().expose()), cast }
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
        const PATHS: [&str; 23] = [
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
            "/v1/quotas",
            "/reference/users",
            "/v1/live?window=300",
            "/v1/workspace",
            "/v1/projects",
            "/v1/members",
            "/v1/keys",
            "/v1/invitations",
            "/v1/audit?limit=1000",
        ];
        let mut all = Vec::new();
        for path in PATHS {
            let reply = self.cast.ask("owner", "GET", path, Value::Null).await;
            let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            all.push((path, reply.status, body));
        }
        all
    }
}

/// The fields that hold what is chosen at random: ids, hashes over them, and what is made of them.
const RANDOM: [&str; 12] = [
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
    "successor",
];

/// Names for texts that are chosen at random, in the order in which they were seen: two runs in which the same happens
/// name them alike, and whether two of them are equal is compared too.
#[derive(Default)]
struct Names(HashMap<String, String>);

impl Names {
    /// A body as it is, but for its request id, with names for what is chosen at random.
    fn plain(&mut self, mut body: Value) -> Value {
        order(&mut body, &|item| blank(item.clone()).to_string());
        self.name(&mut body);
        order(&mut body, &Value::to_string);
        body
    }

    fn name(&mut self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.remove("request_id");
                for (field, value) in fields {
                    match value {
                        Value::String(text) if is_random(field, text) => {
                            let next = format!("#{}", self.0.len());
                            *text = self.0.entry(text.clone()).or_insert(next).clone();
                        }
                        value => self.name(value),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.name(item)),
            _ => {}
        }
    }
}

fn is_random(field: &str, text: &str) -> bool {
    RANDOM.contains(&field) && text.len() > 8
}

/// Without what is chosen at random.
fn blank(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            fields.retain(|field, value| !value.as_str().is_some_and(|text| is_random(field, text)));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = blank(item.take())),
        _ => {}
    }
    value
}

/// Sorts the lists whose rows are in order of a random id.
fn order(value: &mut Value, by: &dyn Fn(&Value) -> String) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(|value| order(value, by)),
        Value::Array(items) => {
            items.iter_mut().for_each(|item| order(item, by));
            if items.iter().all(|item| item.get("email").is_some() || item.get("scopes").is_some()) {
                items.sort_by_cached_key(by);
            }
        }
        _ => {}
    }
}

async fn agree(steps: Vec<(bool, Step)>) -> Result<(), TestCaseError> {
    let (both, alone) = (World::new().await, World::new().await);
    let (mut in_both, mut in_alone) = (Names::default(), Names::default());
    for (in_a, step) in &steps {
        let answer = both.take(*in_a, step).await;
        if *in_a {
            let (status, body) = alone.take(true, step).await;
            prop_assert_eq!((answer.0, in_both.plain(answer.1)), (status, in_alone.plain(body)), "{:?}", step);
        }
    }
    for ((path, status, body), (_, of_alone, alone)) in both.seen().await.into_iter().zip(alone.seen().await) {
        prop_assert_eq!((status, in_both.plain(body)), (of_alone, in_alone.plain(alone)), "{}", path);
    }
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

/// What is in a path instead of `{id}`: what `b` has, and what nobody has.
struct Ids {
    foreign: String,
    unknown: &'static str,
}

/// Things of `b` and of the server, by the part of a path that they are below.
async fn things(world: &World) -> BTreeMap<&'static str, Ids> {
    let in_b = |step| world.take(false, step);
    let id = |body: Value| body["id"].as_str().unwrap().to_owned();
    in_b(&Step::Send(1, 1, 1)).await;
    let receipt = in_b(&Step::Send(2, 1, 1)).await.1["receipt"].as_str().unwrap().to_owned();
    in_b(&Step::Project(1)).await;
    in_b(&Step::Customer(1)).await;
    let key = id(in_b(&Step::Key).await.1);
    let ask = async |method: &str, path: &str, body: Value| {
        send(&world.cast.api, &world.bearer_of_b, method, path, &[], body).await.json(201)
    };
    let secret = id(ask("POST", "/v1/signing-secrets", json!({"name": "s"})).await);
    let operator = async |path: &str, body: Value| world.cast.ask("operator", "POST", path, body).await.json(201);
    let person = json!({"email": "bo@example.com", "role": "owner"});
    let member = id(operator("/v1/workspaces/b/members", person).await["user"].clone());
    let boss = super::cast::person(&world.cast.api, "b", "boss@example.com", Role::Owner).await;
    let invited = json!({"email": "new@example.com", "role": "viewer"});
    let bearer = format!("Bearer {boss}");
    let invitation = send(&world.cast.api, &bearer, "POST", "/v1/invitations", &[], invited).await.json(201);
    let erased = json!({"kind": "user", "id": "nobody"});
    let erasure = send(&world.cast.api, &bearer, "POST", "/v1/erasures", &[], erased).await.json(202);
    let operators = id(operator("/v1/server/keys", json!({"name": "o"})).await);
    let nobody = "AAAAAAAAAAAA";
    let things = [
        ("/v1/events", "e1".to_owned(), "e9"),
        ("/v1/customers", "c1".to_owned(), "c9"),
        ("/accounts", "c1".to_owned(), "c9"),
        ("/v1/accounts", "c1".to_owned(), "c9"),
        ("/v1/receipts", receipt, "00000000000000000000000000000000"),
        ("/v1/projects", "p1".to_owned(), "p9"),
        ("/v1/members", member.clone(), nobody),
        ("/v1/invitations", id(invitation), nobody),
        ("/v1/erasures", id(erasure), "none"),
        ("/v1/keys", key.clone(), nobody),
        ("/v1/workspaces/{workspace}/keys", key, nobody),
        ("/v1/signing-secrets", secret, nobody),
        ("/v1/workspaces", "b".to_owned(), "nowhere"),
        ("/v1/users", member, nobody),
        ("/v1/server/keys", operators, nobody),
    ];
    things.into_iter().map(|(below, foreign, unknown)| (below, Ids { foreign, unknown })).collect()
}

/// A body with which a route does something.
fn body_of(method: &str, path: &str) -> Value {
    match (method, path) {
        ("PATCH", "/v1/members/{id}") => json!({"role": "viewer"}),
        ("PATCH", "/v1/workspaces/{workspace}/keys/{id}") => json!({"requests_per_sec": 5}),
        ("PATCH", _) => json!({"name": "N"}),
        ("POST", "/v1/keys/{id}/rotate") => json!({}),
        ("POST", "/v1/workspaces/{id}/members") => json!({"email": "x@example.com", "role": "viewer"}),
        ("POST", "/v1/workspaces/{id}/keys") => json!({"name": "k", "scopes": ["read"]}),
        ("PUT", "/v1/workspaces/{id}/quotas") => json!({"measure": "events", "period": "day", "limit": 1}),
        ("POST", "/v1/users/{id}/password-reset") | ("GET" | "DELETE", _) => Value::Null,
        _ => panic!("{method} {path}: say here what it is sent"),
    }
}

/// Everything that `b` has.
async fn all_of_b(world: &World) -> Vec<Value> {
    let mut all = Vec::new();
    for path in ["/v1/keys", "/v1/signing-secrets", "/v1/projects", "/v1/customers", "/v1/events", "/v1/settings"] {
        all.push(send(&world.cast.api, &world.bearer_of_b, "GET", path, &[], Value::Null).await.json(200));
    }
    for path in ["/v1/users", "/v1/workspaces", "/v1/server/keys?limit=1"] {
        all.push(world.cast.ask("operator", "GET", path, Value::Null).await.json(200));
    }
    all
}

/// A foreign id and one that nobody has are answered alike, after the same work: as many calls of the stores. Each route
/// of the document with an id in its path is asked.
#[tokio::test]
async fn f36_a_foreign_id_costs_as_much_as_one_that_is_not_there() {
    let world = World::new().await;
    let (cast, things) = (&world.cast, things(&world).await);
    while cast.ask("owner", "GET", "/v1/live", Value::Null).await.status == 503 {}
    // That a permission was refused is written once a minute, beside the answer.
    cast.ask("owner", "GET", "/v1/users", Value::Null).await.problem(403);
    let noted = "/v1/server/audit?action=permission.refused&target=server";
    while cast.ask("operator", "GET", noted, Value::Null).await.json(200)["data"] == json!([]) {}
    let before = all_of_b(&world).await;
    let document = serde_json::to_value(api::document()).unwrap();
    let paths = document["paths"].as_object().unwrap().iter().filter(|(path, _)| path.contains("{id}"));
    let mut checked = 0;
    for (path, operations) in paths {
        let (below, _) = path.split_once("/{id}").unwrap();
        let Ids { foreign, unknown } = things.get(below).unwrap_or_else(|| panic!("{path}: no thing to ask for"));
        for (method, operation) in operations.as_object().unwrap() {
            let method = method.to_uppercase();
            let ask = async |id: &str| {
                let before = cast.api.calls();
                let target = path.replace("{id}", id).replace("{workspace}", "b");
                let reply = cast.ask("owner", &method, &target, body_of(&method, path)).await;
                let mut body: Value = serde_json::from_slice(&reply.body).unwrap();
                body.as_object_mut().unwrap().remove("request_id").unwrap();
                (reply.status, body, cast.api.calls() - before)
            };
            let (of_b, of_nobody) = (ask(foreign).await, ask(unknown).await);
            let expected = if operation["x-permission"] == "server" { 403 } else { 404 };
            assert_eq!(of_b.0, expected, "{method} {path}: {of_b:?}");
            assert_eq!(of_b, of_nobody, "{method} {path}");
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked}");
    assert_eq!(all_of_b(&world).await, before, "nothing of it has changed");
}

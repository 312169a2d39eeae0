//! Holds every answer of a test server against the OpenAPI document: the status of an answer must be among
//! those of its route there, and it has an `ETag` where the document says so, and nowhere else.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use parking_lot::Mutex;
use serde_json::Value;

/// The statuses in the document, and the answers seen that lack there. Dropping it fails the test if any do.
pub(crate) struct DocumentedStatuses(Arc<Answers>);

struct Answers {
    /// By `GET /path`: the statuses, and whether answers of each have an `ETag`.
    documented: HashMap<String, BTreeMap<u16, bool>>,
    undocumented: Mutex<BTreeSet<String>>,
}

impl DocumentedStatuses {
    /// Reads the statuses of every route from the document.
    pub(crate) fn new() -> Self {
        let document = serde_json::to_value(api::document()).unwrap();
        let mut documented = HashMap::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let responses = operation["responses"].as_object().unwrap();
                let has_tag = |response: &Value| response["headers"].get("ETag").is_some();
                let statuses = responses.iter().map(|(status, told)| (status.parse().unwrap(), has_tag(told)));
                let statuses = statuses.collect();
                documented.insert(format!("{} {path}", method.to_uppercase()), statuses);
            }
        }
        Self(Arc::new(Answers { documented, undocumented: Mutex::default() }))
    }

    /// The router, each of whose answers is held against the document.
    pub(crate) fn watch(&self, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(Arc::clone(&self.0), watch))
    }

    fn undocumented(&self) -> Vec<String> {
        self.0.undocumented.lock().iter().cloned().collect()
    }
}

async fn watch(State(answers): State<Arc<Answers>>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let operation = format!("{} {path}", request.method());
    let response = next.run(request).await;
    answers.note(operation, response.status().as_u16(), response.headers().contains_key("etag"));
    response
}

impl Answers {
    /// A method that a path does not have is in no document, nor is a path that no route has.
    fn note(&self, operation: String, status: u16, has_tag: bool) {
        let Some(statuses) = self.documented.get(&operation) else { return };
        match statuses.get(&status) {
            None => drop(self.undocumented.lock().insert(format!("{operation}: {status}"))),
            Some(documented) if *documented != has_tag => {
                self.undocumented.lock().insert(format!("{operation}: {status}, ETag: {has_tag}"));
            }
            Some(_) => {}
        }
    }
}

impl Drop for DocumentedStatuses {
    fn drop(&mut self) {
        let undocumented = self.undocumented();
        if !std::thread::panicking() {
            assert!(undocumented.is_empty(), "answers that the document tells otherwise: {undocumented:?}");
        }
    }
}

#[test]
fn an_answer_that_the_document_tells_otherwise_is_found() {
    let statuses = DocumentedStatuses::new();
    statuses.0.note("GET /v1/windows".to_owned(), 200, false);
    statuses.0.note("GET /v1/settings".to_owned(), 200, true);
    statuses.0.note("GET /nothing".to_owned(), 404, true);
    assert_eq!(statuses.undocumented(), Vec::<String>::new());
    statuses.0.note("GET /v1/windows".to_owned(), 418, false);
    statuses.0.note("GET /v1/windows".to_owned(), 200, true);
    statuses.0.note("GET /v1/settings".to_owned(), 200, false);
    let found = ["GET /v1/settings: 200, ETag: false", "GET /v1/windows: 200, ETag: true", "GET /v1/windows: 418"];
    assert_eq!(statuses.undocumented(), found);
    statuses.0.undocumented.lock().clear();
}

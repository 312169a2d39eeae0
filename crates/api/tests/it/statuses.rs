//! Holds every answer of a test server against the OpenAPI document: the status of an answer must be among
//! those of its route there.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use parking_lot::Mutex;

/// The statuses in the document, and the answers seen that lack there. Dropping it fails the test if any do.
pub(crate) struct DocumentedStatuses(Arc<Answers>);

struct Answers {
    /// By `GET /path`.
    documented: HashMap<String, BTreeSet<u16>>,
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
                let statuses = responses.keys().map(|status| status.parse().unwrap()).collect();
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
    answers.note(operation, response.status().as_u16());
    response
}

impl Answers {
    /// A method that a path does not have is in no document, nor is a path that no route has.
    fn note(&self, operation: String, status: u16) {
        if self.documented.get(&operation).is_some_and(|statuses| !statuses.contains(&status)) {
            self.undocumented.lock().insert(format!("{operation}: {status}"));
        }
    }
}

impl Drop for DocumentedStatuses {
    fn drop(&mut self) {
        let undocumented = self.undocumented();
        if !std::thread::panicking() {
            assert!(undocumented.is_empty(), "answers whose status the document lacks: {undocumented:?}");
        }
    }
}

#[test]
fn a_status_that_the_document_lacks_is_found() {
    let statuses = DocumentedStatuses::new();
    statuses.0.note("GET /v1/windows".to_owned(), 200);
    statuses.0.note("GET /nothing".to_owned(), 404);
    assert_eq!(statuses.undocumented(), Vec::<String>::new());
    statuses.0.note("GET /v1/windows".to_owned(), 418);
    assert_eq!(statuses.undocumented(), ["GET /v1/windows: 418"]);
    statuses.0.undocumented.lock().clear();
}

//! What handlers take from a request: who it acts for, the parameters, the body. Whatever cannot be understood is
//! refused here, and the refusal names the part of the request that it is about.

mod arrival;
mod body;
mod credential;
mod document;
mod idempotency;
mod parameters;
mod principal;
mod span;
mod table;
mod version;

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;

pub(crate) use arrival::count_request;
pub(crate) use body::IngestBody;
pub use credential::SessionCookie;
pub(crate) use credential::presents;
pub(crate) use document::{Bodiless, Creating, Document, Quoted};
pub(crate) use idempotency::{CreatingKey, RequestKey};
pub(crate) use parameters::{NoParameters, Parameters, flag, limit, list, number, one_of, text};
pub(crate) use principal::{
    Anyone, IngestScope, Operator, Person, ProjectScope, ReadScope, RequestId, Sending, Standing, StreamScope,
    WriteScope,
};
pub(crate) use span::{Bounds, Span, WEEK_STARTS, week_start, zone};
pub(crate) use table::{TableBody, TableText};
pub(crate) use version::{IfMatch, etag};

use crate::problem::Problem;

/// The id at the end of the path, percent-decoded.
#[derive(Debug)]
pub(crate) struct Id(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(id)| Self(id)).map_err(|_| Problem::parameter("id", "is not valid UTF-8"))
    }
}

/// The workspace and the thing of it that a path names, percent-decoded.
#[derive(Debug)]
pub(crate) struct IdIn {
    pub(crate) workspace: String,
    pub(crate) id: String,
}

impl<S: Send + Sync> FromRequestParts<S> for IdIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let read = path.map(|Path((workspace, id))| Self { workspace, id });
        read.map_err(|_| Problem::parameter("id", "is not valid UTF-8"))
    }
}

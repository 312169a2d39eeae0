//! Which properties of a workspace's events are encrypted, and the key for that.

use std::sync::Arc;

use access::control::EncryptionChange;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::encryption::EncryptedPath;
use domain::limits::{ENCRYPTED_PATHS_MAX, ENCRYPTION_BODY_BYTES_MAX};
use domain::query::PropertyPath;
use domain::tenant::TenantScope;
use pipeline::is_read_property;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::extract::{Bodiless, CreatingKey, Document, IfMatch, NoParameters, Parameters, ReadScope, WriteScope, etag};
use crate::problem::{Problem, ProblemKind};
use crate::routes::docs::{EncryptionRefusals, TenantRefusals};
use crate::state::ApiState;

/// A path that is encrypted.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = EncryptedPath)]
#[serde(deny_unknown_fields)]
pub(crate) struct PathBody {
    /// Keys in the properties, joined by dots, as in `properties.<path>` of a query. Whatever stands there is encrypted as
    /// a whole; arrays on the way are entered.
    #[schema(example = "user.email")]
    path: String,
    /// Whether equal values look alike, so that events can be grouped and filtered by them; they then show which events
    /// have the same value, also to who sees no plain text of the files, and may be put in place of one another unnoticed.
    #[serde(default)]
    deterministic: bool,
}

impl From<&EncryptedPath> for PathBody {
    fn from(path: &EncryptedPath) -> Self {
        Self { path: path.path.to_string(), deterministic: path.is_deterministic }
    }
}

/// What a workspace encrypts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Encryption)]
pub(crate) struct EncryptionBody {
    /// The paths at which new events are encrypted.
    paths: Vec<PathBody>,
    /// Paths that are encrypted no longer. What was encrypted there stays so.
    former_paths: Vec<PathBody>,
    /// Whether paths may be deterministic.
    allow_deterministic: bool,
    /// The version of the data key that encrypts; null without one.
    #[schema(minimum = 1)]
    key_version: Option<u32>,
    /// The version of this list, also the ETag; 0 before the first change.
    version: u64,
}

/// A change; what is given replaces what holds.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = EncryptionChange)]
#[serde(deny_unknown_fields)]
pub(crate) struct EncryptionIn {
    /// The paths at which new events are encrypted, and no others; at most 64 with those of before.
    #[serde(default)]
    #[schema(nullable = false, max_items = 64)]
    paths: Option<Vec<PathBody>>,
    /// Whether paths may be deterministic.
    #[serde(default)]
    #[schema(nullable = false)]
    allow_deterministic: Option<bool>,
}

fn body(api: &ApiState, scope: &TenantScope) -> EncryptionBody {
    let (rules, key_version) = api.access.encryption_rules(scope);
    let paths = |is_active: bool| {
        let paths = rules.paths.all().iter().filter(move |path| path.is_active == is_active);
        paths.map(PathBody::from).collect()
    };
    EncryptionBody {
        paths: paths(true),
        former_paths: paths(false),
        allow_deterministic: rules.allows_deterministic,
        key_version,
        version: rules.versioned.version,
    }
}

/// Read what is encrypted
#[utoipa::path(
    get, path = "/v1/settings/encryption", tag = "settings", operation_id = "encryption",
    responses((status = 200, description = "The paths", body = EncryptionBody, headers(("ETag" = String, description = "Its version"))), TenantRefusals),
)]
pub(crate) async fn read(
    State(api): State<Arc<ApiState>>,
    ReadScope(scope): ReadScope,
    _: Parameters<NoParameters>,
) -> Response {
    answer(body(&api, &scope))
}

/// Change what is encrypted
///
/// Holds for events from the next request on; those that are there stay as they are. How a path is bound cannot be
/// changed, also not by taking it out and in again. What the server reads itself cannot be encrypted: measures, usage
/// objects, and the names that the data of CloudEvents may hold.
#[utoipa::path(
    patch, path = "/v1/settings/encryption", tag = "settings", operation_id = "change_encryption", params(IfMatch),
    request_body = EncryptionIn,
    responses((status = 200, description = "As it is now", body = EncryptionBody, headers(("ETag" = String, description = "Its version"))), EncryptionRefusals),
)]
pub(crate) async fn change(
    State(api): State<Arc<ApiState>>,
    WriteScope { scope, by }: WriteScope,
    _: Parameters<NoParameters>,
    IfMatch(version): IfMatch,
    Document(fields): Document<EncryptionIn, ENCRYPTION_BODY_BYTES_MAX>,
) -> Result<Response, Problem> {
    let paths = fields.paths.map(|paths| {
        if paths.len() > ENCRYPTED_PATHS_MAX {
            let detail = format!("'paths' must be at most {ENCRYPTED_PATHS_MAX}");
            return Err(Problem::new(ProblemKind::NotEncryptable, detail));
        }
        paths.iter().enumerate().map(|(index, path)| checked(index, path)).collect()
    });
    let change = EncryptionChange { paths: paths.transpose()?, allows_deterministic: fields.allow_deterministic };
    api.access.change_encryption(&by, change, version).await?;
    Ok(answer(body(&api, &scope)))
}

/// Renew the data key
///
/// New events are encrypted with a new version of the key. What older versions have encrypted stays readable. A workspace
/// has at most 100 versions that were not destroyed; then this is answered 409.
#[utoipa::path(
    post, path = "/v1/settings/encryption/rotate", tag = "settings", operation_id = "rotate_data_key", params(CreatingKey),
    responses((status = 200, description = "As it is now", body = EncryptionBody, headers(("ETag" = String, description = "Its version"))), EncryptionRefusals),
)]
pub(crate) async fn rotate(
    State(api): State<Arc<ApiState>>,
    WriteScope { scope, by }: WriteScope,
    _: Parameters<NoParameters>,
    repeated: Bodiless,
) -> Result<Response, Problem> {
    api.access.rotate_data_key(&by, repeated.key(&by)).await?;
    Ok(answer(body(&api, &scope)))
}

fn answer(body: EncryptionBody) -> Response {
    (etag(body.version), Json(body)).into_response()
}

/// A path that the server does not read itself.
fn checked(index: usize, PathBody { path, deterministic }: &PathBody) -> Result<(PropertyPath, bool), Problem> {
    let refused = |why: String| Problem::new(ProblemKind::NotEncryptable, why).at(format!("paths[{index}].path"));
    let parsed = PropertyPath::parse(path).map_err(|why| refused(format!("'{path}': {why}")))?;
    if let Some((key, _)) = parsed.keys_after(0).into_iter().find(|(key, _)| is_read_property(key)) {
        return Err(refused(format!(
            "'{path}': '{key}' is read as a field or measure of the event, and cannot be encrypted"
        )));
    }
    Ok((parsed, *deterministic))
}

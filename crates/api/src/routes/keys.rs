//! The API keys of a workspace, and its signing secrets.

use std::sync::Arc;

use access::control::{KeyChange, NewKey, NewSecret};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::access::address::AddressRange;
use domain::access::ids::{KeyId, SecretId};
use domain::access::key_text::KeyPurpose;
use domain::access::rights::KeyScopes;
use domain::limits::KEY_BODY_BYTES_MAX;
use domain::tenant::TenantScope;
use domain::time::Timestamp;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::extract::{
    Creating, CreatingKey, Document, Id, IfMatch, NoParameters, Parameters, ReadScope, WriteScope, etag,
};
use crate::page::{Answer, ListPage, PageParameters};
use crate::problem::Problem;
use crate::routes::docs::ChangeRefusals;
use crate::shape::{KeyBody, Listing, MadeKeyBody, MadeSecretBody, SecretBody, given, scopes};
use crate::state::ApiState;

/// How long a rotated key goes on when the request does not say, in seconds.
const OVERLAP_SEC_DEFAULT: u32 = 24 * 3_600;

/// A key to be made.
// Not printed: it may hold a secret.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewApiKey)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyIn {
    /// What people call it.
    #[schema(example = "ingest of the web shop")]
    name: String,
    /// What it may be used for: `ingest`, `read`, `admin`, and `decrypt`, which owners alone give: to read encrypted
    /// properties in plain text.
    #[serde(default)]
    #[schema(example = json!(["ingest"]))]
    scopes: Vec<String>,
    /// The one project that it is for. Events get it; other projects are refused.
    #[serde(default)]
    project: Option<String>,
    /// When it ends.
    #[serde(default)]
    #[schema(format = DateTime)]
    expires: Option<String>,
    /// Ranges of addresses that it may be used from, as `192.0.2.0/24`; everywhere when empty.
    #[serde(default)]
    addresses: Vec<String>,
    /// `live` or `test`: a word in the key's text, which changes nothing else.
    #[serde(default)]
    #[schema(pattern = "^(live|test)$", nullable = false)]
    purpose: Option<String>,
    /// The text of a key that was made elsewhere, to be registered instead of a new one: 8 to 512 bytes, not
    /// beginning with `nm_`.
    #[serde(default)]
    key: Option<String>,
    /// Whether a registered key may have less than 20 bytes; its only scope is then `ingest`.
    #[serde(default)]
    allow_weak: bool,
}

impl KeyIn {
    /// The key that is asked for.
    pub(super) fn read(self) -> Result<NewKey, Problem> {
        let refused =
            || Problem::parameter("scopes", "'scopes' must be a list of 'ingest', 'read', 'admin' and 'decrypt'");
        let purpose = match self.purpose.as_deref() {
            None => KeyPurpose::Live,
            Some(name) => KeyPurpose::parse(name)
                .ok_or_else(|| Problem::parameter("purpose", "'purpose' must be live or test"))?,
        };
        Ok(NewKey {
            name: self.name,
            scopes: KeyScopes::of(&scopes(&self.scopes).ok_or_else(refused)?),
            project: self.project,
            expires: self.expires.as_deref().map(expires).transpose()?,
            addresses: addresses(&self.addresses)?,
            purpose,
            registered: self.key.map(Into::into),
            allows_weak: self.allow_weak,
        })
    }
}

fn expires(text: &str) -> Result<Timestamp, Problem> {
    Timestamp::parse(text).map_err(|_| Problem::parameter("expires", "'expires' must be a time in RFC 3339"))
}

fn addresses(texts: &[String]) -> Result<Vec<AddressRange>, Problem> {
    let parse = |(index, text): (usize, &String)| {
        let refused = |why| Problem::parameter(&format!("addresses[{index}]"), format!("{why}"));
        AddressRange::parse(text).map_err(refused)
    };
    texts.iter().enumerate().map(parse).collect()
}

/// A change of a key; a field that is given is `Some`, also when it is null.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ApiKeyChange)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyChangeIn {
    /// What people call it.
    #[serde(default)]
    #[schema(nullable = false)]
    name: Option<String>,
    /// When it ends; null: never.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires: Option<Option<String>>,
    /// Ranges of addresses that it may be used from; everywhere when empty.
    #[serde(default)]
    #[schema(nullable = false)]
    addresses: Option<Vec<String>>,
}

/// A rotation.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Rotation)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotationIn {
    /// How long the old key goes on beside the new one, in seconds; 0: not at all. A day if not given.
    #[serde(default)]
    #[schema(maximum = 2_592_000, nullable = false)]
    overlap_sec: Option<u32>,
}

/// A signing secret to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewSigningSecret)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretIn {
    /// What people call it.
    name: String,
    /// The one project that it is for.
    #[serde(default)]
    project: Option<String>,
    /// When it ends.
    #[serde(default)]
    #[schema(format = DateTime)]
    expires: Option<String>,
}

/// List the keys
///
/// In order of id, the revoked ones included. Never with their secrets.
#[utoipa::path(
    get, path = "/v1/keys", tag = "workspaces", operation_id = "keys", params(PageParameters),
    responses((status = 200, description = "One page", body = Listing<KeyBody>), ChangeRefusals),
)]
pub(crate) async fn list(
    State(api): State<Arc<ApiState>>,
    ReadScope(scope): ReadScope,
    Parameters(parameters): Parameters<PageParameters>,
) -> Result<Answer, Problem> {
    keys_page(&api, Some(&scope), &parameters).await
}

/// A page of the keys of a workspace, or of the operator.
pub(super) async fn keys_page(
    api: &ApiState,
    scope: Option<&TenantScope>,
    parameters: &PageParameters,
) -> Result<Answer, Problem> {
    let page = ListPage::begin(api, scope, "keys", &(), parameters).await?;
    let after = page.after(|id| KeyId::parse(id).ok());
    let (register, now) = (api.access.register(), api.access.now());
    let keys = register.keys(scope.map(TenantScope::tenant), after);
    page.fill(keys, |key| key.id.to_string(), |key| KeyBody::new(&register.as_used(key), now))
}

/// Make a key
///
/// Its text is answered this once. A key with the scope `admin` makes keys within its own scopes, addresses and
/// time only. With `key`, registers one that was made elsewhere.
#[utoipa::path(
    post, path = "/v1/keys", tag = "workspaces", operation_id = "create_key", params(CreatingKey),
    request_body = KeyIn,
    responses((status = 201, description = "Made", body = MadeKeyBody, headers(("ETag" = String, description = "Its version"))), ChangeRefusals),
)]
pub(crate) async fn create(
    State(api): State<Arc<ApiState>>,
    WriteScope { scope, by }: WriteScope,
    _: Parameters<NoParameters>,
    new: Creating<KeyIn, KEY_BODY_BYTES_MAX>,
) -> Result<Response, Problem> {
    let key = new.key(&by);
    let made = api.access.create_key(&by, Some(scope.tenant()), new.fields.read()?, key).await?;
    let tag = etag(made.key.versioned.version);
    Ok((StatusCode::CREATED, tag, Json(MadeKeyBody::new(made, api.access.now()))).into_response())
}

/// Read one key
#[utoipa::path(
    get, path = "/v1/keys/{id}", tag = "workspaces", operation_id = "key",
    params(("id" = String, Path, description = "The key's id")),
    responses((status = 200, description = "The key, without its secret", body = KeyBody, headers(("ETag" = String, description = "Its version"))), ChangeRefusals),
)]
pub(crate) async fn one(
    State(api): State<Arc<ApiState>>,
    ReadScope(scope): ReadScope,
    Id(id): Id,
    _: Parameters<NoParameters>,
) -> Result<Response, Problem> {
    let key = api.access.key(Some(scope.tenant()), &id)?;
    Ok((etag(key.versioned.version), Json(KeyBody::new(&key, api.access.now()))).into_response())
}

/// Change a key
#[utoipa::path(
    patch, path = "/v1/keys/{id}", tag = "workspaces", operation_id = "change_key",
    params(("id" = String, Path, description = "The key's id"), IfMatch), request_body = KeyChangeIn,
    responses((status = 200, description = "The key as it is now", body = KeyBody, headers(("ETag" = String, description = "Its version"))), ChangeRefusals),
)]
pub(crate) async fn change(
    State(api): State<Arc<ApiState>>,
    WriteScope { scope, by }: WriteScope,
    Id(id): Id,
    _: Parameters<NoParameters>,
    IfMatch(version): IfMatch,
    Document(fields): Document<KeyChangeIn, KEY_BODY_BYTES_MAX>,
) -> Result<Response, Problem> {
    let expires = fields.expires.map(|at| at.as_deref().map(expires).transpose()).transpose()?;
    let addresses = fields.addresses.as_deref().map(addresses).transpose()?;
    let change = KeyChange { name: fields.name, expires, addresses, rate: None };
    let key = api.access.change_key(&by, Some(scope.tenant()), &id, change, version).await?;
    Ok((etag(key.versioned.version), Json(KeyBody::new(&key, api.access.now()))).into_response())
}

/// Revoke a key
///
/// It opens nothing from then on, here at once and on other instances within 30 seconds.
#[utoipa::path(
    delete, path = "/v1/keys/{id}", tag = "workspaces", operation_id = "revoke_key",
    params(("id" = String, Path, description = "The key's id"), IfMatch),
    responses((status = 200, description = "The key, revoked", body = KeyBody, headers(("ETag" = String, description = "Its version"))), ChangeRefusals),
)]
pub(crate) async fn revoke(
    State(api): State<Arc<ApiState>>,
    WriteScope { scope, by }: WriteScope,
    Id(id): Id,
    _: Parameters<NoParameters>,
    IfMatch(version): IfMatch,
) -> Result<Response, Problem> {
    let key = api.access.revoke_key(&by, Some(scope.tenant()), &id, version).await?;
    Ok((etag(key.versioned.version), Json(KeyBody::new(&key, api.access.now()))).into_response())
}

/// Rotate a key
///
/// Makes one that may do the same. The old one goes on for `overlap_sec` seconds, so that no request is refused.
#[utoipa::path(
    post, path = "/v1/keys/{id}/rotate", tag = "workspaces", operation_id = "rotate_key",
    params(("id" = String, Path, description = "The key's id"), IfMatch, CreatingKey),
    request_body = RotationIn,
    responses((status = 201, description = "The new key", body = MadeKeyBody, headers(("ETag" = String, description = "Its version"))), ChangeRefusals),
)]
pub(crate) async fn rotate(
    State(api): State<Arc<ApiState>>,
    WriteScope { scope, by }: WriteScope,
    Id(id): Id,
    _: Parameters<NoParameters>,
    IfMatch(version): IfMatch,
    new: Creating<RotationIn, KEY_BODY_BYTES_MAX>,
) -> Result<Response, Problem> {
    let (key, overlap) = (new.key(&by), new.fields.overlap_sec.unwrap_or(OVERLAP_SEC_DEFAULT));
    let made = api.access.rotate_key(&by, Some(scope.tenant()), &id, overlap, version, key).await?;
    let tag = etag(made.key.versioned.version);
    Ok((StatusCode::CREATED, tag, Json(MadeKeyBody::new(made, api.access.now()))).into_response())
}

/// List the signing secrets
///
/// In order of id, the revoked ones included.
#[utoipa::path(
    get, path = "/v1/signing-secrets", tag = "workspaces", operation_id = "signing_secrets", params(PageParameters),
    responses((status = 200, description = "One page", body = Listing<SecretBody>), ChangeRefusals),
)]
pub(crate) async fn secrets(
    State(api): State<Arc<ApiState>>,
    ReadScope(scope): ReadScope,
    Parameters(parameters): Parameters<PageParameters>,
) -> Result<Answer, Problem> {
    let page = ListPage::begin(&api, Some(&scope), "signing-secrets", &(), &parameters).await?;
    let after = page.after(|id| SecretId::parse(id).ok());
    let (register, now) = (api.access.register(), api.access.now());
    let secrets = register.secrets(scope.tenant(), after);
    page.fill(secrets, |secret| secret.id.to_string(), |secret| SecretBody::new(secret, now))
}

/// Make a signing secret
///
/// Its text is answered this once. Requests that it signs send events.
#[utoipa::path(
    post, path = "/v1/signing-secrets", tag = "workspaces", operation_id = "create_signing_secret",
    params(CreatingKey), request_body = SecretIn,
    responses((status = 201, description = "Made", body = MadeSecretBody, headers(("ETag" = String, description = "Its version"))), ChangeRefusals),
)]
pub(crate) async fn create_secret(
    State(api): State<Arc<ApiState>>,
    WriteScope { by, .. }: WriteScope,
    _: Parameters<NoParameters>,
    new: Creating<SecretIn, KEY_BODY_BYTES_MAX>,
) -> Result<Response, Problem> {
    let key = new.key(&by);
    let SecretIn { name, project, expires: until } = new.fields;
    let secret = NewSecret { name, project, expires: until.as_deref().map(expires).transpose()? };
    let made = api.access.create_secret(&by, secret, key).await?;
    let tag = etag(made.secret.versioned.version);
    Ok((StatusCode::CREATED, tag, Json(MadeSecretBody::new(made, api.access.now()))).into_response())
}

/// Revoke a signing secret
#[utoipa::path(
    delete, path = "/v1/signing-secrets/{id}", tag = "workspaces", operation_id = "revoke_signing_secret",
    params(("id" = String, Path, description = "The secret's id"), IfMatch),
    responses((status = 200, description = "The secret, revoked", body = SecretBody, headers(("ETag" = String, description = "Its version"))), ChangeRefusals),
)]
pub(crate) async fn revoke_secret(
    State(api): State<Arc<ApiState>>,
    WriteScope { by, .. }: WriteScope,
    Id(id): Id,
    _: Parameters<NoParameters>,
    IfMatch(version): IfMatch,
) -> Result<Response, Problem> {
    let secret = api.access.revoke_secret(&by, &id, version).await?;
    Ok((etag(secret.versioned.version), Json(SecretBody::new(&secret, api.access.now()))).into_response())
}

//! Values for statements.

use domain::access::ids::KeyId;
use domain::access::key_text::KeyPurpose;
use domain::access::record::{ApiKey, Creation, KeyOrigin, Versioned};
use domain::access::rights::KeyScopes;
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;

pub(crate) type Outcome = Result<(), Box<dyn std::error::Error>>;

pub(crate) fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

pub(crate) fn scope() -> TenantScope {
    TenantScope::for_operator(TenantId::default_tenant())
}

pub(crate) fn key() -> Result<ApiKey, Box<dyn std::error::Error>> {
    Ok(ApiKey {
        id: KeyId::parse("abcdefabcdef")?,
        origin: KeyOrigin::Made(KeyPurpose::Live),
        hash: [1; 32],
        workspace: Some(TenantId::default_tenant()),
        project: None,
        name: String::new(),
        scopes: KeyScopes::NONE,
        expires: None,
        addresses: Box::default(),
        rate: None,
        revoked: None,
        last_used: None,
        created_by: "dev".to_owned(),
        versioned: Versioned::new(at(1)).next(at(2)),
    })
}

pub(crate) fn creation() -> Creation {
    let (workspace, made) = (None, String::new());
    Creation { key_hash: [1; 32], body_hash: [2; 32], workspace, made, created: at(1), expires: at(2) }
}

//! Tokens of another issuer open a workspace that takes them, with the role that they name, and no other.

use std::sync::Arc;

use access::control::WorkspaceChange;
use access::external::{ExternalIssuer, ExternalVerifier};
use access::master_key::MasterKey;
use access::tokens::TokenNames;
use access::{AccessControl, AccessParts, Caller, Presented};
use domain::access::principal::{Refusal, Subject};
use domain::access::record::WorkspaceStatus;
use domain::access::rights::{Permission, Role};
use domain::tenant::Keyring;
use domain::time::Timestamp;
use ports::testing::catalog::MemoryCatalog;
use ports::testing::clock::ManualClock;
use serde_json::Value;

use crate::handles::{acme, by};

#[tokio::test]
async fn a_token_of_another_issuer_opens_what_takes_it_with_its_role_and_never_the_server() {
    let vectors: Value = serde_json::from_str(include_str!("../../src/external/vectors.json")).unwrap();
    let token = vectors["tokens"]["RS256"].as_str().unwrap();
    let issuer = ExternalIssuer {
        issuer: "https://id.example".to_owned(),
        audience: "nilometer".to_owned(),
        jwks: vectors["jwks"].to_string(),
        workspace_claim: "https://x/workspace".to_owned(),
        role_claim: "role".to_owned(),
    };
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
    let store = MemoryCatalog::new();
    let parts = || AccessParts {
        store: Arc::new(store.reopen()),
        clock: clock.clone(),
        master: MasterKey::parse(&"07".repeat(32)).unwrap(),
        configured: Keyring::new(),
        command: None,
        names: TokenNames { issuer: "i".to_owned(), audience: "a".to_owned() },
        external: Some(ExternalVerifier::new(&issuer).unwrap()),
    };
    let control = AccessControl::load(parts()).await.unwrap();
    let enter = || control.caller(Presented::Bearer(token), None);
    assert_eq!(enter(), Err(Refusal::WorkspaceNotFound), "there is no such workspace");
    control.create_workspace(&by(), "acme", None, None).await.unwrap();
    assert_eq!(enter(), Err(Refusal::WorkspaceNotFound), "it takes no such tokens");
    let takes = WorkspaceChange { takes_external_tokens: Some(true), ..WorkspaceChange::default() };
    control.change_workspace(&by(), &acme(), takes, None).await.unwrap();
    let Ok(Caller::Principal(who)) = enter() else { panic!("{:?}", enter()) };
    assert_eq!(who.rights.role, Some(Role::Admin));
    let Subject::External(login) = &who.subject else { panic!("{who:?}") };
    assert_eq!((&*login.name, who.subject.to_string()), ("auth0|7", format!("external:{}", login.id)));
    let restarted = AccessControl::load(parts()).await.unwrap();
    let again = restarted.caller(Presented::Bearer(token), None);
    assert_eq!(again, Ok(Caller::Principal(who.clone())), "the same login has the same id after a restart");
    assert!(!who.rights.allow(Permission::ManageServer));
    assert_eq!(control.enter(&Caller::Principal(who), Some("other")), Err(Refusal::WorkspaceMismatch));
    let closed = WorkspaceChange { status: Some(WorkspaceStatus::Suspended), ..WorkspaceChange::default() };
    control.change_workspace(&by(), &acme(), closed, None).await.unwrap();
    assert_eq!(enter(), Err(Refusal::WorkspaceSuspended));
    clock.set(Timestamp::from_micros(4_000_000_000_000_000));
    assert_eq!(enter(), Err(Refusal::SessionEnded), "it has expired");
}

//! What can only be seen from inside: limits that would take long to reach, and that nothing prints a secret.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail loudly")]

use domain::access::ids::{InvitationId, KeyId, SecretId};
use domain::access::key_text::KeyPurpose;
use domain::access::principal::Subject;
use domain::access::record::{ApiKey, Invitation, SigningSecret};
use domain::access::rights::{KeyScope, KeyScopes, Rights, Role};
use domain::limits::{INVITATIONS_KEPT_MAX, KEYS_KEPT_MAX, KEYS_MAX, SECRETS_KEPT_MAX, SECRETS_OPENED_MAX};
use ports::testing::catalog::MemoryCatalog;
use ports::testing::clock::ManualClock;

use super::*;
use crate::secret_text::SecretText;
use crate::signatures::{self, SignatureHeader};

const PASSWORD: &str = "correct horse battery";

fn acme() -> TenantId {
    TenantId::parse("acme").unwrap()
}

/// Without a credential in the built-in workspace, an owner who operates the server.
fn by() -> By {
    let rights = Rights { role: Some(Role::Owner), ..Rights::of_operator() };
    let workspace = Some(TenantScope::for_operator(acme()));
    let principal = Principal { workspace, rights, subject: Subject::Command, project: None };
    By { principal, cause: Cause::command() }
}

async fn control() -> Arc<AccessControl> {
    let control = AccessControl::load(AccessParts {
        store: Arc::new(MemoryCatalog::new()),
        clock: Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000))),
        master: MasterKey::parse(&"07".repeat(32)).unwrap(),
        configured: Keyring::new(),
        command: None,
        names: TokenNames { issuer: "i".to_owned(), audience: "a".to_owned() },
        external: None,
    });
    let control = control.await.unwrap();
    control.create_workspace(&by(), "acme", None, None).await.unwrap();
    control
}

fn new_key(registered: Option<&str>) -> NewKey {
    NewKey {
        name: "k".to_owned(),
        scopes: KeyScopes::of(&[KeyScope::Read]),
        project: None,
        expires: None,
        addresses: Vec::new(),
        purpose: KeyPurpose::Live,
        registered: registered.map(|text| text.to_owned().into()),
        allows_weak: false,
    }
}

#[tokio::test]
async fn i6_a_workspace_has_no_more_keys_than_it_may_whichever_way_they_are_made() {
    let control = control().await;
    let made = control.create_key(&by(), Some(&acme()), new_key(None), None).await.unwrap();
    let id = made.key.id.to_string();
    for n in 1..KEYS_MAX {
        let id = KeyId::parse(&format!("{n:012}")).unwrap();
        control.register.write().apply(Record::ApiKey(ApiKey { id, ..ApiKey::clone(&made.key) }));
    }
    let full =
        |told: Result<MadeKey, AccessError>| matches!(told, Err(AccessError::State(why)) if why.contains("as many"));
    assert!(full(control.create_key(&by(), Some(&acme()), new_key(None), None).await));
    assert!(full(control.rotate_key(&by(), Some(&acme()), &id, 60, None, None).await));
    // One in the place of another is no more than before.
    let next = control.rotate_key(&by(), Some(&acme()), &id, 0, None, None).await.unwrap();
    assert!(full(control.create_key(&by(), Some(&acme()), new_key(None), None).await));
    control.revoke_key(&by(), Some(&acme()), next.key.id.as_str(), None).await.unwrap();
    control.create_key(&by(), Some(&acme()), new_key(None), None).await.unwrap();
}

/// Found in November 2026: only what is open was counted, so making and revoking in a loop filled the memory for 30 days.
#[tokio::test]
async fn i6_what_has_ended_is_counted_until_it_is_forgotten() {
    fn full<T>(told: Result<T, AccessError>, of: &str) {
        let Err(AccessError::State(why)) = told else { panic!("{of} were made") };
        assert!(why.contains(of) && why.contains("with those that have ended, which are forgotten 30 days"), "{why}");
    }
    let (control, now) = (control().await, Timestamp::from_micros(1_700_000_000_000_000));
    let key = control.create_key(&by(), Some(&acme()), new_key(None), None).await.unwrap();
    let new = || NewSecret { name: "edge".to_owned(), project: None, expires: None };
    let secret = control.create_secret(&by(), new(), None).await.unwrap().secret;
    let invitation = control.invite(&by(), "ann@example.com", Role::Viewer, None).await.unwrap().invitation;
    {
        let mut register = control.register.write();
        for n in 1..KEYS_KEPT_MAX {
            let id = KeyId::parse(&format!("{n:012}")).unwrap();
            register.apply(Record::ApiKey(ApiKey { id, revoked: Some(now), ..ApiKey::clone(&key.key) }));
        }
        for n in 1..SECRETS_KEPT_MAX {
            let id = SecretId::parse(&format!("{n:012}")).unwrap();
            let ended = SigningSecret { id, revoked: Some(now), ..SigningSecret::clone(&secret) };
            register.apply(Record::SigningSecret(ended));
        }
        for n in 1..INVITATIONS_KEPT_MAX {
            let id = InvitationId::parse(&format!("{n:012}")).unwrap();
            let mut token_hash = [0; 32];
            token_hash[..8].copy_from_slice(&n.to_le_bytes());
            let ended = Invitation { id, token_hash, closed: Some(now), ..invitation.clone() };
            register.apply(Record::Invitation(ended));
        }
    }
    full(control.create_key(&by(), Some(&acme()), new_key(None), None).await, "keys");
    full(control.rotate_key(&by(), Some(&acme()), key.key.id.as_str(), 0, None, None).await, "keys");
    full(control.create_secret(&by(), new(), None).await, "signing secrets");
    full(control.invite(&by(), "bob@example.com", Role::Viewer, None).await, "invitations");
    control.revoke_key(&by(), Some(&acme()), key.key.id.as_str(), None).await.unwrap();
    control.create_key(&by(), None, NewKey { scopes: KeyScopes::NONE, ..new_key(None) }, None).await.unwrap();
}

#[tokio::test]
async fn i6_decrypted_secrets_are_few_and_given_up_when_they_change() {
    let control = control().await;
    let new = NewSecret { name: "edge".to_owned(), project: None, expires: None };
    let made = control.create_secret(&by(), new, None).await.unwrap();
    let open = |version: u64| {
        let mut record = SigningSecret::clone(&made.secret);
        record.versioned.version = version;
        let opened = control.opened.get(&record, || {
            let secret =
                signatures::SigningSecret::from_parts(record.id.as_str(), &[u8::try_from(version).unwrap(); 32]);
            secret.map_err(|why| AccessError::Failed("open", why.into()))
        });
        opened.unwrap().bytes()[0]
    };
    assert_eq!((open(1), open(2), open(2), control.opened.len()), (1, 2, 2, 1));
    control.revoke_secret(&by(), made.secret.id.as_str(), None).await.unwrap();
    assert_eq!(control.opened.len(), 0);
    for n in 0..SECRETS_OPENED_MAX * 2 {
        let mut record = SigningSecret::clone(&made.secret);
        record.id = SecretId::parse(&format!("{n:012}")).unwrap();
        let secret = || signatures::SigningSecret::from_parts(record.id.as_str(), &[1; 32]);
        control.opened.get(&record, || secret().map_err(|why| AccessError::Failed("open", why.into()))).unwrap();
    }
    assert!(control.opened.len() <= SECRETS_OPENED_MAX, "{}", control.opened.len());
}

/// What is printed in a log or a panic opens nothing.
#[tokio::test]
async fn nothing_that_holds_a_secret_prints_it() {
    let control = control().await;
    let mut secrets = vec!["07".repeat(32), format!("{:?}", [7_u8; 32])];
    let mut printed = Vec::new();
    let mut keep = |text: &SecretText, shown: String| {
        assert!(text.expose().len() > 20);
        secrets.push(text.expose().to_owned());
        printed.push(shown);
    };
    let theirs = "a-key-that-was-made-elsewhere";
    let new = new_key(Some(theirs));
    keep(&theirs.to_owned().into(), format!("{new:?} {:?} {:?}", Presented::Bearer(theirs), Presented::Cookie(theirs)));
    let key = control.create_key(&by(), Some(&acme()), new_key(None), None).await.unwrap();
    keep(key.text.as_ref().unwrap(), format!("{key:?}"));
    let new = NewSecret { name: "edge".to_owned(), project: None, expires: None };
    let secret = control.create_secret(&by(), new, None).await.unwrap();
    keep(&secret.text, format!("{secret:?}"));
    let signing = signatures::SigningSecret::parse(secret.text.expose()).unwrap();
    let header = signatures::sign(&signing, control.now(), "POST", "/", b"").unwrap().to_string();
    let signed = control.begin_signed(&header).await.unwrap();
    control.check_signed(&signed, "POST", "/", b"").unwrap();
    let bytes = format!("{:?}", signing.bytes());
    keep(&bytes.into(), format!("{signing:?} {signed:?} {:?}", SignatureHeader::parse(&header)));
    let invited = control.invite(&by(), "new@example.com", Role::Viewer, None).await.unwrap();
    keep(&invited.token, format!("{invited:?}"));
    let member = control.add_member(&by(), &acme(), "ann@example.com", None, Role::Owner, None).await.unwrap();
    let reset = member.reset.clone().unwrap();
    keep(&reset.token, format!("{member:?} {reset:?}"));
    control.reset_password(&by(), reset.token.expose(), PASSWORD).await.unwrap();
    let login = control.log_in(&by(), "ann@example.com", PASSWORD, true).await.unwrap();
    keep(login.cookie.as_ref().unwrap(), format!("{login:?}"));
    let tokens = control.first_tokens(&login).await.unwrap();
    keep(&tokens.access, format!("{tokens:?}"));
    keep(&tokens.refresh, format!("{:?}", control.caller(Presented::Bearer(tokens.access.expose()), None)));
    let password = crate::passwords::Password::new(PASSWORD).unwrap();
    keep(&PASSWORD.to_owned().into(), format!("{password:?}"));
    let token_key = crate::tokens::TokenKey::generate().unwrap();
    let issuer = TokenIssuer::new(control.names.clone(), &token_key);
    keep(&format!("{:?}", token_key.seed()).into(), format!("{token_key:?} {issuer:?}"));
    printed.push(format!("{control:?}"));
    for secret in &secrets {
        for shown in &printed {
            assert!(!shown.contains(secret.as_str()), "{secret} in {shown}");
        }
    }
}

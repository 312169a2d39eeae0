//! What one process has just made is known to another that is asked for it, which looks for what it does not know, but
//! not for everybody who makes something up.

use std::sync::Arc;
use std::time::Duration;

use access::control::NewSecret;
use access::signatures::{SigningSecret, sign};
use access::{AccessControl, AccessError, AccessParts, Caller, Presented};
use domain::access::principal::Refusal;
use domain::access::rights::Role;
use domain::limits::{REGISTER_SEEK_INTERVAL, REGISTER_STALENESS_MAX};
use ports::testing::catalog::MemoryCatalog;
use ports::testing::clock::ManualClock;
use ports::testing::manifest::FaultPoint;

use crate::handles::{acme, by, clock, new_key, open, parts};

const PASSWORD: &str = "correct horse battery";

/// Two processes over one store, and how often the second has asked it for anything.
struct Two {
    one: Arc<AccessControl>,
    two: Arc<AccessControl>,
    store_of_two: Arc<MemoryCatalog>,
    clock: Arc<ManualClock>,
}

impl Two {
    async fn new() -> Self {
        let (store, clock) = (MemoryCatalog::new(), clock());
        let one = open(&store, &clock, "07").await;
        one.create_workspace(&by(), "acme", None, None).await.unwrap();
        let store_of_two = Arc::new(store.reopen());
        let two = AccessParts { store: store_of_two.clone(), ..parts(&store, &clock, "07") };
        let two = AccessControl::load(two).await.unwrap();
        Self { one, two, store_of_two, clock }
    }

    /// Whether the second process lets somebody in.
    async fn takes(&self, bearer: &str) -> Result<Caller, Refusal> {
        self.two.authenticate(Presented::Bearer(bearer), None).await
    }

    /// Lets the time pass after which it looks again.
    fn pass(&self) {
        self.clock.advance(REGISTER_SEEK_INTERVAL);
    }

    async fn key(&self) -> String {
        let made = self.one.create_key(&by(), Some(&acme()), new_key("k", None), None).await.unwrap();
        made.text.unwrap().expose().to_owned()
    }
}

#[tokio::test]
async fn a_key_that_another_process_has_just_made_is_taken() {
    let both = Two::new().await;
    let key = both.key().await;
    assert_eq!(both.two.caller(Presented::Bearer(&key), None), Err(Refusal::UnknownKey), "nobody has looked");
    assert!(both.takes(&key).await.is_ok());
    let theirs = "a-key-that-was-made-elsewhere";
    both.one.create_key(&by(), Some(&acme()), new_key("theirs", Some(theirs)), None).await.unwrap();
    both.pass();
    assert!(both.takes(theirs).await.is_ok());
}

#[tokio::test]
async fn made_up_credentials_lead_to_one_look_a_second() {
    let both = Two::new().await;
    let calls = || both.store_of_two.calls();
    let before = calls();
    for n in 0..50 {
        assert_eq!(both.takes(&format!("made-up-{n}")).await.err(), Some(Refusal::UnknownKey));
        assert_eq!(both.takes("eyJhbGciOiJFZERTQSJ9.e30.c2ln").await.err(), Some(Refusal::SessionEnded));
        let cookie = both.two.authenticate(Presented::Cookie("made up"), None).await;
        assert_eq!(cookie.err(), Some(Refusal::SessionEnded));
        let signature = format!("t={},k=AAAAAAAAAAAA,v1={}", both.clock_s(), "0".repeat(64));
        let signed = both.two.begin_signed(&signature).await.unwrap();
        let told = both.two.check_signed(&signed, "POST", "/v1/events", b"");
        assert!(matches!(told, Err(AccessError::Refused(Refusal::WrongSignature))), "{told:?}");
    }
    assert_eq!(calls(), before + 1);
    // Within the second what is new is not looked for either; after it, it is.
    let key = both.key().await;
    assert_eq!(both.takes(&key).await.err(), Some(Refusal::UnknownKey));
    both.clock.advance(REGISTER_SEEK_INTERVAL.checked_sub(Duration::from_millis(1)).unwrap());
    assert_eq!(both.takes(&key).await.err(), Some(Refusal::UnknownKey));
    both.clock.advance(Duration::from_millis(1));
    assert!(both.takes(&key).await.is_ok());
    assert_eq!(calls(), before + 2);
    // What is known costs nothing, and what is known for revoked neither.
    for _ in 0..10 {
        both.pass();
        assert!(both.takes(&key).await.is_ok());
    }
    assert_eq!(calls(), before + 2);
}

impl Two {
    fn clock_s(&self) -> i64 {
        self.two.now().micros() / 1_000_000
    }
}

#[tokio::test]
async fn a_login_and_a_new_token_key_of_another_process_are_taken() {
    let both = Two::new().await;
    let made = both.one.add_member(&by(), &acme(), "ann@example.com", None, Role::Owner, None).await.unwrap();
    // The token of the reset is known to the other process as well.
    let reset = made.reset.unwrap();
    both.two.reset_password(&by(), reset.token.expose(), PASSWORD).await.unwrap();
    both.one.refresh().await.unwrap();
    let login = both.one.log_in(&by(), "ann@example.com", PASSWORD, false).await.unwrap();
    let tokens = both.one.first_tokens(&login).await.unwrap();
    both.pass();
    assert!(matches!(both.takes(tokens.access.expose()).await, Ok(Caller::Person(..))), "an unknown session");

    both.one.rotate_token_key(&by()).await.unwrap();
    let tokens = both.one.refresh_tokens(&by(), tokens.refresh.expose()).await.unwrap();
    both.pass();
    assert!(matches!(both.takes(tokens.access.expose()).await, Ok(Caller::Person(..))), "an unknown kid");

    let login = both.one.log_in(&by(), "ann@example.com", PASSWORD, false).await.unwrap();
    let tokens = both.one.first_tokens(&login).await.unwrap();
    both.pass();
    both.two.refresh_tokens(&by(), tokens.refresh.expose()).await.unwrap();

    let login = both.one.log_in(&by(), "ann@example.com", PASSWORD, true).await.unwrap();
    both.pass();
    let cookie = login.cookie.unwrap();
    assert!(both.two.authenticate(Presented::Cookie(cookie.expose()), None).await.is_ok(), "an unknown cookie");
}

#[tokio::test]
async fn a_signing_secret_of_another_process_is_known() {
    let both = Two::new().await;
    let owner = by_owner();
    let new = NewSecret { name: "edge".to_owned(), project: None, expires: None };
    let made = both.one.create_secret(&owner, new, None).await.unwrap();
    let secret = SigningSecret::parse(made.text.expose()).unwrap();
    let header = sign(&secret, both.two.now(), "POST", "/v1/events", b"{}").unwrap().to_string();
    let signed = both.two.begin_signed(&header).await.unwrap();
    both.two.check_signed(&signed, "POST", "/v1/events", b"{}").unwrap();
}

/// Without a credential in the built-in workspace, an owner.
fn by_owner() -> access::By {
    use domain::access::audit::Cause;
    use domain::access::principal::{Principal, Subject};
    use domain::access::rights::Rights;
    use domain::tenant::TenantScope;
    let workspace = Some(TenantScope::for_operator(acme()));
    let rights = Rights { role: Some(Role::Owner), ..Rights::default() };
    access::By {
        principal: Principal { workspace, rights, subject: Subject::Command, project: None },
        cause: Cause::command(),
    }
}

#[tokio::test]
async fn a_process_that_could_not_look_for_longer_than_the_port_allows_says_so() {
    let both = Two::new().await;
    both.clock.advance(REGISTER_STALENESS_MAX * 10);
    assert_eq!((both.two.staleness(), both.two.unknown_for()), (None, Duration::ZERO), "it is not kept up to date");
    let keeping_up = tokio::spawn(Arc::clone(&both.two).keep_up());
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    // As if it hung.
    keeping_up.abort();
    assert!(keeping_up.await.unwrap_err().is_cancelled());
    both.clock.advance(REGISTER_STALENESS_MAX * 2);
    assert!(both.two.staleness().unwrap().contains("60 s"), "{:?}", both.two.staleness());
    both.two.refresh().await.unwrap();
    assert_eq!((both.two.staleness(), both.two.unknown_for()), (None, Duration::ZERO));
    both.clock.advance(REGISTER_STALENESS_MAX);
    assert_eq!(both.two.staleness(), None, "just within the bound");
    both.clock.advance(Duration::from_secs(1));
    assert!(both.two.staleness().unwrap().contains("31 s"), "{:?}", both.two.staleness());
}

#[tokio::test]
async fn a_store_that_takes_no_writes_any_more_is_told() {
    let both = Two::new().await;
    assert_eq!(both.two.poisoned(), None);
    both.store_of_two.fail_next(FaultPoint::BeforeCommit);
    both.two.create_workspace(&by(), "beta", None, None).await.unwrap_err();
    assert!(both.two.poisoned().is_some());
    assert_eq!(both.one.poisoned(), None);
    assert!(both.takes(&both.key().await).await.is_ok(), "reading goes on");
}

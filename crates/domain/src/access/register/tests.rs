//! What the register answers about keys, sessions and memberships, as they are and as they change.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::access::address::AddressRange;
use crate::access::email::Email;
use crate::access::key_text::KeyPurpose;
use crate::access::record::Versioned;
use crate::access::removal::Removal;
use crate::access::rights::{KeyScope, Permission};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

fn user(name: &str) -> UserId {
    UserId::parse(&format!("{name:0>12}")).unwrap()
}

fn session(name: &str) -> SessionId {
    SessionId::parse(&format!("{name:0>12}")).unwrap()
}

fn foreign(text: &str) -> [u8; 32] {
    *blake3::keyed_hash(&[7; 32], text.as_bytes()).as_bytes()
}

fn key_text(id: &str) -> KeyText {
    let id = KeyId::parse(&format!("{id:0>12}")).unwrap();
    KeyText::compose(KeyPurpose::Live, id, "0123456789abcdefghijABCDEFGHIJ").unwrap()
}

fn key(id: &str, workspace: Option<&str>) -> ApiKey {
    let text = key_text(id);
    ApiKey {
        id: text.id(),
        origin: KeyOrigin::Made(KeyPurpose::Live),
        hash: *blake3::hash(text.expose().as_bytes()).as_bytes(),
        workspace: workspace.map(tenant),
        project: None,
        name: String::new(),
        scopes: KeyScopes::of(&[KeyScope::Ingest]),
        expires: None,
        addresses: Box::default(),
        rate: None,
        revoked: None,
        last_used: None,
        created_by: String::new(),
        versioned: Versioned::new(at(0)),
    }
}

fn register(records: impl IntoIterator<Item = Record>) -> Register {
    let mut register = Register::default();
    records.into_iter().for_each(|record| register.apply(record));
    register
}

fn ask(register: &Register, text: &str, now: i64, from: &str) -> Result<Principal, Refusal> {
    register.authenticate_key(text, foreign, at(now), from.parse().ok())
}

fn members() -> Vec<Record> {
    let person = |name: &str| {
        Record::User(User {
            id: user(name),
            email: Email::parse(&format!("{name}@example.com")).unwrap(),
            name: name.to_owned(),
            password_hash: None,
            status: UserStatus::Active,
            versioned: Versioned::new(at(0)),
        })
    };
    let member = |of: &str, name: &str, role| {
        let (workspace, user) = (tenant(of), user(name));
        Record::Membership(Membership { workspace, user, role, decrypts: false, versioned: Versioned::new(at(0)) })
    };
    let login = |name: &str| {
        Record::Session(Session {
            id: session(name),
            user: user(name),
            kind: SessionKind::Tokens(0),
            expires: at(100),
            ended: None,
            versioned: Versioned::new(at(0)),
        })
    };
    let workspace = |name: &str| Record::Workspace(Workspace::new(tenant(name), name, at(0)));
    vec![
        workspace("a"),
        workspace("b"),
        person("ann"),
        person("bob"),
        member("a", "ann", Some(Role::Owner)),
        member("b", "bob", Some(Role::Viewer)),
        member("a", "bob", Some(Role::Member)),
        login("ann"),
        login("bob"),
    ]
}

#[test]
fn f37_a_key_opens_its_workspace_until_it_is_revoked_or_has_expired() {
    let with = |change: fn(&mut ApiKey)| {
        let mut key = key("1", Some("a"));
        change(&mut key);
        register([Record::ApiKey(key)])
    };
    let text = key_text("1").expose().to_owned();
    let of = |register: &Register, now| ask(register, &text, now, "192.0.2.1").map(|who| who.workspace);
    assert_eq!(of(&with(|_| ()), 5), Ok(Some(TenantScope::granted(tenant("a")))));
    assert_eq!(of(&with(|key| key.expires = Some(at(5))), 4).map(|_| ()), Ok(()));
    assert_eq!(of(&with(|key| key.expires = Some(at(5))), 5), Err(Refusal::ExpiredKey));
    assert_eq!(of(&with(|key| key.revoked = Some(at(9))), 5), Err(Refusal::RevokedKey), "the clock was set back");
    assert_eq!(of(&with(|key| key.workspace = None), 5), Ok(None));
    assert_eq!(of(&with(|key| key.hash = [0; 32]), 5), Err(Refusal::UnknownKey));
    assert_eq!(of(&with(|key| key.origin = KeyOrigin::Registered), 5), Err(Refusal::UnknownKey));
    assert_eq!(of(&register([]), 5), Err(Refusal::UnknownKey));
    assert_eq!(ask(&register([]), &text[1..], 5, "").map(|_| ()), Err(Refusal::UnknownKey));
    assert_eq!(ask(&with(|_| ()), &text[..50], 5, "").map(|_| ()), Err(Refusal::BrokenKey));
}

#[test]
fn a_key_of_some_addresses_opens_nothing_from_others() {
    let mut limited = key("1", Some("a"));
    limited.addresses = [AddressRange::parse("192.0.2.0/24").unwrap()].into();
    let register = register([Record::ApiKey(limited)]);
    let text = key_text("1").expose().to_owned();
    assert!(ask(&register, &text, 1, "192.0.2.9").is_ok());
    assert!(ask(&register, &text, 1, "::ffff:192.0.2.9").is_ok());
    assert_eq!(ask(&register, &text, 1, "192.0.3.9"), Err(Refusal::Address));
    assert_eq!(ask(&register, &text, 1, "unknown"), Err(Refusal::Address));
}

#[test]
fn a_registered_key_is_found_by_its_keyed_hash() {
    let mut theirs = key("1", Some("a"));
    (theirs.origin, theirs.hash) = (KeyOrigin::Registered, foreign("phc_their-own-key"));
    let register = register([Record::ApiKey(theirs)]);
    assert!(ask(&register, "phc_their-own-key", 1, "").is_ok());
    assert_eq!(ask(&register, "phc_their-own-kez", 1, ""), Err(Refusal::UnknownKey));
}

#[test]
fn i5_a_person_enters_only_where_the_person_is_a_member() {
    let register = register(members());
    let enter = |name: &str, named| {
        let entered = register.enter(user(name), session(name), named);
        entered.map(|who| (who.workspace.map(|scope| scope.tenant().to_string()), who.rights.role))
    };
    let owner = Ok((Some("a".to_owned()), Some(Role::Owner)));
    assert_eq!(enter("ann", None), owner);
    assert_eq!(enter("ann", Some("a")), owner);
    for foreign in ["b", "B", "A", "nowhere", "", "a b"] {
        assert_eq!(enter("ann", Some(foreign)), Err(Refusal::WorkspaceNotFound), "{foreign}");
    }
    assert_eq!(enter("bob", None), Err(Refusal::WorkspaceRequired));
    assert_eq!(enter("bob", Some("b")), Ok((Some("b".to_owned()), Some(Role::Viewer))));
}

#[test]
fn what_changes_holds_at_once() {
    let ended = |now: i64, change: fn(&mut Session)| {
        let mut register = register(members());
        let mut session = register.session(session("ann")).unwrap().clone();
        change(&mut session);
        register.apply(Record::Session(session.clone()));
        register.person(session.id, at(now)).map(|user| user.id)
    };
    assert_eq!(ended(1, |_| ()), Ok(user("ann")));
    assert_eq!(ended(1, |session| session.ended = Some(at(0))), Err(Refusal::SessionEnded));
    assert_eq!(ended(100, |_| ()), Err(Refusal::SessionEnded));

    let mut register = register(members());
    let mut ann = User::clone(register.user(user("ann")).unwrap());
    ann.status = UserStatus::Suspended;
    register.apply(Record::User(ann));
    assert_eq!(register.person(session("ann"), at(1)), Err(Refusal::SessionEnded), "suspended");

    let removed = Membership { role: None, ..register.membership(&tenant("b"), user("bob")).unwrap().clone() };
    register.apply(Record::Membership(removed));
    let only = register.enter(user("bob"), session("bob"), None).map(|who| who.rights.allow(Permission::WriteEvents));
    assert_eq!(only, Ok(true), "of two workspaces one is left");
    assert_eq!(register.enter(user("bob"), session("bob"), Some("b")), Err(Refusal::WorkspaceNotFound));

    let closed = Workspace { status: WorkspaceStatus::Suspended, ..Workspace::new(tenant("a"), "a", at(0)) };
    register.apply(Record::Workspace(closed));
    assert_eq!(register.enter(user("bob"), session("bob"), None), Err(Refusal::WorkspaceSuspended));
    register.apply(Record::ApiKey(key("1", Some("a"))));
    assert_eq!(ask(&register, key_text("1").expose(), 1, ""), Err(Refusal::WorkspaceSuspended));
}

#[test]
fn a_new_address_or_cookie_leaves_nothing_behind() {
    let mut register = register(members());
    let mut ann = User::clone(register.user(user("ann")).unwrap());
    ann.email = Email::parse("Anna@example.com").unwrap();
    register.apply(Record::User(ann));
    assert!(
        register.user_by_email("ann@example.com").is_none() && register.user_by_email("anna@example.com").is_some()
    );
    let cookie = |hash: u8| {
        Record::Session(Session { kind: SessionKind::Cookie([hash; 32]), ..register_session(&session("ann")) })
    };
    register.apply(cookie(1));
    register.apply(cookie(2));
    assert_eq!(register.session_of_cookie(&[1; 32], at(1)), Err(Refusal::SessionEnded));
    assert_eq!(register.session_of_cookie(&[2; 32], at(1)), Ok(session("ann")));
    for removal in register.ended(at(100 + KEPT_S)) {
        register.forget(&removal);
    }
    assert_eq!(register.session_of_cookie(&[2; 32], at(1)), Err(Refusal::SessionEnded));
}

/// Found in November 2026: an account that was made with a decomposed address was not found under the composed one.
/// Where both were made, the older has the address, in whatever order they are read.
#[test]
fn an_address_is_of_one_account_however_it_was_stored() {
    let account = |name: &str, email: &str, created: i64| User {
        id: user(name),
        email: Email::parse(email).unwrap(),
        name: name.to_owned(),
        password_hash: None,
        status: UserStatus::Active,
        versioned: Versioned::new(at(created)),
    };
    let (older, newer) = (account("old", "zoe\u{308}@b.example", 1), account("new", "zo\u{eb}@b.example", 2));
    for order in [[&older], [&newer]] {
        let register = register(order.map(|it| Record::User(it.clone())));
        assert_eq!(register.user_by_email("zo\u{eb}@b.example").map(|it| it.id), Some(order[0].id));
    }
    for order in [[&older, &newer], [&newer, &older]] {
        let mut register = register(order.map(|it| Record::User(it.clone())));
        let holder = |register: &Register| register.user_by_email("zo\u{eb}@b.example").map(|it| it.id);
        assert_eq!(holder(&register), Some(older.id));
        register.apply(Record::User(User { name: "renamed".to_owned(), ..newer.clone() }));
        register.apply(Record::User(User { email: Email::parse("new@b.example").unwrap(), ..newer.clone() }));
        assert_eq!(holder(&register), Some(older.id), "what the other does takes nothing away");
        assert_eq!(register.user_by_email("new@b.example").map(|it| it.id), Some(newer.id));
    }
}

fn register_session(id: &SessionId) -> Session {
    register(members()).session(*id).unwrap().clone()
}

const KEPT_S: i64 = crate::limits::ENDED_KEPT.as_secs().cast_signed();

fn removals(register: &Register, now: i64) -> Vec<Removal> {
    let mut found = register.ended(at(now));
    found.sort();
    found
}

/// One record of every kind that ends, at second 10 by being ended or closed, or at second 20 by itself.
fn ending() -> Vec<Record> {
    let versioned = Versioned::new(at(0));
    let hash = |n: u8| [n; 32];
    let workspace = || tenant("a");
    let secret = |id: &str, expires, revoked| {
        Record::SigningSecret(SigningSecret {
            id: SecretId::parse(id).unwrap(),
            workspace: workspace(),
            project: None,
            name: String::new(),
            wrapped: [1].into(),
            expires,
            revoked,
            created_by: String::new(),
            versioned,
        })
    };
    let invitation = |id: &str, n, closed| {
        Record::Invitation(Invitation {
            id: InvitationId::parse(id).unwrap(),
            workspace: workspace(),
            email: Email::parse("new@example.com").unwrap(),
            role: Role::Viewer,
            token_hash: hash(n),
            expires: at(20),
            closed,
            created_by: String::new(),
            versioned,
        })
    };
    let reset = |name: &str, n, closed| {
        let user = user(name);
        Record::PasswordReset(PasswordReset { user, token_hash: hash(n), expires: at(20), closed, versioned })
    };
    let login = |name: &str, kind, ended| {
        let (id, user) = (session(name), user("ann"));
        Record::Session(Session { id, user, kind, expires: at(20), ended, versioned })
    };
    let token_key = |kid: &str, retired| {
        Record::TokenKey(TokenKeyRecord { kid: kid.to_owned(), wrapped: [1].into(), retired, versioned })
    };
    let registered = |id: &str, n| ApiKey { origin: KeyOrigin::Registered, hash: hash(n), ..key(id, Some("a")) };
    vec![
        Record::ApiKey(ApiKey { revoked: Some(at(10)), ..registered("k1", 1) }),
        Record::ApiKey(ApiKey { expires: Some(at(20)), ..key("k2", None) }),
        secret("aaaaaaaaaaaa", Some(at(20)), Some(at(10))),
        secret("bbbbbbbbbbbb", Some(at(20)), None),
        invitation("aaaaaaaaaaaa", 3, Some(at(10))),
        invitation("bbbbbbbbbbbb", 4, None),
        reset("u1", 5, Some(at(10))),
        reset("u2", 6, None),
        login("s1", SessionKind::Cookie(hash(7)), Some(at(10))),
        login("s2", SessionKind::Tokens(1), None),
        token_key("old", Some(at(10))),
    ]
}

#[test]
fn what_has_ended_is_removed_after_its_time_and_leaves_nothing_behind() {
    let creation = Record::Creation(Creation {
        key_hash: [9; 32],
        body_hash: [9; 32],
        workspace: None,
        made: String::new(),
        created: at(0),
        expires: at(20),
    });
    let goes_on = [
        Record::ApiKey(key("k9", Some("a"))),
        Record::TokenKey(TokenKeyRecord {
            kid: "new".to_owned(),
            wrapped: [1].into(),
            retired: None,
            versioned: Versioned::new(at(0)),
        }),
    ];
    let mut all = register(ending().into_iter().chain([creation]).chain(goes_on.clone()));
    assert_eq!(removals(&all, 19), []);
    assert_eq!(removals(&all, 20), [Removal::Creation([9; 32], at(20))], "remembered no longer than it has to be");
    assert_eq!(removals(&all, 10 + KEPT_S - 1).len(), 1);
    let ended_first = removals(&all, 10 + KEPT_S);
    assert_eq!(ended_first.iter().filter_map(Removal::kind).collect::<Vec<_>>().len(), 6, "{ended_first:?}");
    let everything = removals(&all, 20 + KEPT_S);
    assert_eq!(everything.len(), 12, "{everything:?}");
    assert!(everything.iter().all(|removal| all.is_ended(removal, at(20 + KEPT_S))));

    // What has changed since stays: a key that had expired was given another end.
    let renewed = ApiKey { expires: None, versioned: Versioned::new(at(0)).next(at(9)), ..key("k2", None) };
    all.apply(Record::ApiKey(renewed.clone()));
    let left: Vec<_> = everything.iter().filter(|removal| !all.is_ended(removal, at(20 + KEPT_S))).collect();
    assert_eq!(left, [&Removal::ApiKey(renewed.id, 1)]);
    for removal in removals(&all, 20 + KEPT_S) {
        all.forget(&removal);
        all.forget(&removal);
    }
    let expected = register(goes_on.into_iter().chain([Record::ApiKey(renewed)]));
    let shown = |register: &Register| {
        let keys_of: Vec<_> = register.keys_of.iter().filter(|(_, ids)| !ids.is_empty()).collect();
        format!(
            "{keys_of:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            register.registered_keys,
            register.secrets,
            register.secrets_by_workspace,
            register.invitations_by_token,
            register.invitations_by_workspace,
            register.resets_by_token,
            register.sessions,
            register.sessions_by_cookie,
            register.sessions_by_user,
            register.token_keys,
            register.creations,
        )
    };
    assert_eq!(shown(&all), shown(&expected));
}

#[test]
fn a_registered_text_is_free_when_its_key_is_revoked_and_leads_to_the_one_that_holds_it() {
    let theirs = |id: &str, of: &str, revoked| {
        let hash = foreign("phc_their-own-key");
        Record::ApiKey(ApiKey { origin: KeyOrigin::Registered, hash, revoked, ..key(id, Some(of)) })
    };
    let opens = |register: &Register| {
        let who = ask(register, "phc_their-own-key", 5, "");
        who.map(|who| who.workspace.map(|scope| scope.tenant().to_string()))
    };
    let held_by = |register: &Register| register.registered_key(&foreign("phc_their-own-key")).map(|key| key.id);
    let mut register = register([theirs("1", "a", Some(at(1)))]);
    assert_eq!((opens(&register), held_by(&register)), (Err(Refusal::RevokedKey), None));
    register.apply(theirs("2", "b", None));
    let b = Ok(Some("b".to_owned()));
    assert_eq!((opens(&register), held_by(&register)), (b.clone(), Some(key("2", None).id)));
    // In whatever order they come, and when the one before is removed.
    register.apply(theirs("1", "a", Some(at(1))));
    assert_eq!(opens(&register), b);
    register.forget(&Removal::ApiKey(key("1", None).id, 1));
    assert_eq!(opens(&register), b);
    register.forget(&Removal::ApiKey(key("2", None).id, 1));
    assert_eq!(opens(&register), Err(Refusal::UnknownKey));
}

#[test]
fn the_use_of_a_key_is_noted_to_the_minute_and_stays_until_it_is_stored() {
    let mut register = register([Record::ApiKey(key("1", Some("a")))]);
    let id = key("1", None).id;
    let shown = |register: &Register| register.as_used(register.key(id).unwrap()).last_used;
    assert_eq!((shown(&register), register.unstored_uses()), (None, vec![]));
    for second in [5, 6, 64, 2] {
        register.note_use(id, at(second));
    }
    register.note_use(KeyId::LEAST, at(5));
    assert_eq!((shown(&register), register.unstored_uses()), (Some(at(5)), vec![(id, at(5))]));
    register.note_use(id, at(65));
    // A change of the key forgets no use.
    register.apply(Record::ApiKey(ApiKey { name: "renamed".to_owned(), ..key("1", Some("a")) }));
    let uses = register.unstored_uses();
    assert_eq!(uses, [(id, at(65))]);
    register.note_use(id, at(130));
    register.uses_stored(&uses);
    assert_eq!((shown(&register), register.unstored_uses()), (Some(at(130)), vec![(id, at(130))]));
    register.uses_stored(&[(id, at(130)), (KeyId::LEAST, at(1))]);
    assert_eq!((shown(&register), register.unstored_uses()), (Some(at(130)), vec![]));
}

#[test]
fn a_workspace_has_room_for_keys_as_long_as_those_that_were_not_revoked_are_few() {
    let revoked = |id: &str| ApiKey { revoked: Some(at(1)), ..key(id, Some("a")) };
    let keys = [key("1", Some("a")), key("2", Some("a")), revoked("3"), key("4", None)];
    let register = register(keys.map(Record::ApiKey));
    let (a, b) = (tenant("a"), tenant("b"));
    let room = |of: Option<&TenantId>| [1, 2, 3, 4].map(|max| register.has_room_for_key(of, max));
    assert_eq!(room(Some(&a)), [false, false, true, true]);
    assert_eq!(room(None), [false, true, true, true]);
    assert_eq!(room(Some(&b)), [true; 4]);
}

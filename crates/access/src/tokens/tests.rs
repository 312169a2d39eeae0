//! Every way in which a token can be wrong, against one that is right.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};

use super::*;

const NOW_S: i64 = 1_700_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * MICROS_PER_SECOND)
}

fn names() -> TokenNames {
    TokenNames { issuer: "https://meter.example".into(), audience: "nilometer".into() }
}

fn key(kid: &str, byte: u8) -> TokenKey {
    TokenKey::from_seed(kid, &[byte; 32]).unwrap()
}

fn verifier(keys: &[PublicTokenKey]) -> TokenVerifier {
    TokenVerifier::new(&names(), keys).unwrap()
}

fn issued(key: &TokenKey, now_s: i64) -> String {
    TokenIssuer::new(names(), key).issue("user-1", "session-1", at(now_s)).unwrap().text
}

fn head() -> Value {
    json!({ "typ": "JWT", "alg": "EdDSA", "kid": "k1" })
}

fn claims() -> Value {
    json!({
        "iss": "https://meter.example", "aud": "nilometer", "sub": "user-1", "sid": "session-1",
        "iat": NOW_S, "nbf": NOW_S, "exp": NOW_S + ACCESS_TOKEN_S,
    })
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

fn without(mut object: Value, name: &str) -> Value {
    object.as_object_mut().unwrap().remove(name).unwrap();
    object
}

/// A token of these texts, rightly signed by `k1`.
fn signed(head: &str, claims: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims));
    let signature = Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap().sign(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// What comes of a token, with and without the memory of others, and again.
fn verified(verifier: &TokenVerifier, token: &str, now_s: i64) -> Result<Arc<AccessToken>, String> {
    let answers =
        [verifier.verify_anew(token, at(now_s)), verifier.verify(token, at(now_s)), verifier.verify(token, at(now_s))];
    let [anew, first, again] = answers.map(|answer| answer.map_err(|error| format!("{error:?}")));
    assert_eq!(anew, first, "{token}");
    assert_eq!(first, again, "{token}");
    anew
}

#[test]
fn a_token_says_whose_it_is() {
    let (key, verifier) = (key("k1", 1), verifier(&[key("k1", 1).public().clone()]));
    let issued = TokenIssuer::new(names(), &key).issue("user-1", "session-1", at(NOW_S)).unwrap();
    assert_eq!(issued.expires_at, at(NOW_S + 900));
    let expected = AccessToken {
        user_id: "user-1".into(),
        session_id: "session-1".into(),
        issued_at: at(NOW_S),
        expires_at: at(NOW_S + 900),
    };
    assert_eq!(*verified(&verifier, &issued.text, NOW_S).unwrap(), expected);
    let parts: Vec<Value> = issued
        .text
        .split('.')
        .take(2)
        .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
        .collect();
    assert_eq!(parts, [head(), claims()]);
    assert_eq!(*verified(&verifier, &signed(&head().to_string(), &claims().to_string()), NOW_S).unwrap(), expected);
}

#[test]
fn a_token_is_valid_for_its_time_forward_and_back() {
    let (key, verifier) = (key("k1", 1), verifier(&[key("k1", 1).public().clone()]));
    let token = issued(&key, NOW_S);
    for (after_s, expected) in [
        (0, "ok"),
        (929, "ok"),
        (930, "Expired"),
        (86_400, "Expired"),
        (-30, "ok"),
        (-31, "NotYet"),
        (-86_400, "NotYet"),
        // The clock is set right again: what is remembered is judged anew each time.
        (1, "ok"),
    ] {
        let answer = verified(&verifier, &token, NOW_S + after_s).map(|_| "ok".to_owned());
        assert_eq!(answer.unwrap_or_else(|error| error), expected, "{after_s}");
    }
    let at_the_ends = [Timestamp::MIN, Timestamp::MAX].map(|now| verifier.verify(&token, now).is_ok());
    assert_eq!(at_the_ends, [false, false]);
}

#[test]
fn a_head_is_believed_nothing_but_the_name_of_the_key() {
    let verifier = verifier(&[key("k1", 1).public().clone(), key("k2", 2).public().clone()]);
    let claims = claims().to_string();
    for (what, head, expected) in [
        ("no algorithm", with(head(), "alg", json!("none")), "Refused"),
        ("no algorithm in capitals", with(head(), "alg", json!("NONE")), "Refused"),
        ("no field of an algorithm", without(head(), "alg"), "Refused"),
        ("another algorithm", with(head(), "alg", json!("HS256")), "Refused"),
        ("another algorithm", with(head(), "alg", json!("RS256")), "Refused"),
        ("another algorithm", with(head(), "alg", json!("ES256")), "Refused"),
        ("another spelling", with(head(), "alg", json!("eddsa")), "Refused"),
        ("no name of a key", without(head(), "kid"), "Invalid"),
        ("a number as name", with(head(), "kid", json!(1)), "Invalid"),
        ("an empty name", with(head(), "kid", json!("")), "UnknownKey"),
        ("a huge name", with(head(), "kid", json!("k".repeat(129))), "UnknownKey"),
        ("a name beyond the head", with(head(), "kid", json!("k".repeat(2_000))), "Invalid"),
        ("an unknown name", with(head(), "kid", json!("k3")), "UnknownKey"),
        ("a path as name", with(head(), "kid", json!("../../k1")), "UnknownKey"),
        ("another key's name", with(head(), "kid", json!("k2")), "Refused"),
        ("another type", with(head(), "typ", json!("at+jwt")), "Invalid"),
        ("another type", with(head(), "typ", json!("jwt")), "Invalid"),
        ("no type", without(head(), "typ"), "Invalid"),
        ("something critical", with(head(), "crit", json!(["exp"])), "Refused"),
        ("another encoding", with(head(), "b64", json!(false)), "Refused"),
    ] {
        let error = verified(&verifier, &signed(&head.to_string(), &claims), NOW_S).unwrap_err();
        assert!(error.starts_with(expected), "{what}: {error}");
    }
    let twice = r#"{"typ":"JWT","alg":"EdDSA","kid":"k2","kid":"k1"}"#;
    assert!(verified(&verifier, &signed(twice, &claims), NOW_S).is_err(), "two names of keys");
    // Keys that a token brings along are not looked at.
    let other = json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(key("k2", 2).public().bytes()) });
    let head = with(with(head(), "jku", json!("https://evil.example/keys")), "x5u", json!("https://evil.example/x"));
    let token = signed(&with(head, "jwk", other).to_string(), &claims);
    assert!(verified(&verifier, &token, NOW_S).is_ok());
}

#[test]
fn a_secret_made_of_the_public_key_signs_nothing() {
    let (key, head) = (key("k1", 1), with(head(), "alg", json!("HS256")).to_string());
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims().to_string()));
    let public = key.public().bytes();
    for secret in [public.to_vec(), base64url(public).into_bytes(), hex_of(public).into_bytes()] {
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message.as_bytes());
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
        let error = verified(&verifier(&[key.public().clone()]), &token, NOW_S).unwrap_err();
        assert!(error.starts_with("Refused"), "{error}");
    }
    let unsigned = format!("{message}.");
    assert!(verified(&verifier(&[key.public().clone()]), &unsigned, NOW_S).is_err());
}

fn hex_of(bytes: &[u8]) -> String {
    crate::text::hex(bytes)
}

#[test]
fn claims_are_all_there_once_and_right() {
    let verifier = verifier(&[key("k1", 1).public().clone()]);
    let day_s = 86_400;
    let mut wrong = vec![
        ("another issuer", with(claims(), "iss", json!("https://meter.example/"))),
        ("several issuers", with(claims(), "iss", json!(["https://meter.example"]))),
        ("another audience", with(claims(), "aud", json!("Nilometer"))),
        ("several audiences", with(claims(), "aud", json!(["nilometer", "other"]))),
        ("a number as user", with(claims(), "sub", json!(1))),
        ("nobody", with(claims(), "sub", json!(null))),
        ("one claim more", with(claims(), "role", json!("owner"))),
        ("expired", with(claims(), "exp", json!(NOW_S - 31))),
        ("a text as end", with(claims(), "exp", json!((NOW_S + 900).to_string()))),
        ("an end with a fraction", with(claims(), "exp", json!(1_700_000_900.5))),
        ("an end beyond all numbers", with(claims(), "exp", json!(1e300))),
        ("a longer time than any has", with(claims(), "exp", json!(NOW_S + ACCESS_TOKEN_S + 1))),
        ("an end that overflows", with(claims(), "exp", json!(i64::MAX))),
        ("not valid yet", with(claims(), "nbf", json!(NOW_S + 31))),
    ];
    let later = with(with(claims(), "iat", json!(NOW_S + day_s)), "exp", json!(NOW_S + day_s + 900));
    wrong.push(("issued in the future", later));
    for name in ["iss", "aud", "sub", "sid", "iat", "nbf", "exp"] {
        wrong.push((name, without(claims(), name)));
    }
    for (what, claims) in wrong {
        let answer = verified(&verifier, &signed(&head().to_string(), &claims.to_string()), NOW_S);
        assert!(answer.is_err(), "{what}: {answer:?}");
    }
    for (name, value) in [("sub", json!("user-2")), ("sub", json!("user-1")), ("exp", json!(NOW_S + 900))] {
        let twice = claims().to_string().replacen('{', &format!("{{\"{name}\":{value},"), 1);
        let answer = verified(&verifier, &signed(&head().to_string(), &twice), NOW_S);
        assert!(answer.is_err(), "{twice}");
    }
}

#[test]
fn a_changed_token_is_none() {
    let (key, verifier) = (key("k1", 1), verifier(&[key("k1", 1).public().clone()]));
    let token = issued(&key, NOW_S);
    assert!(verified(&verifier, &token, NOW_S).is_ok());
    for place in 0..token.len() {
        let other = if token.as_bytes()[place] == b'A' { "B" } else { "A" };
        let changed = format!("{}{other}{}", &token[..place], &token[place + 1..]);
        assert!(verified(&verifier, &changed, NOW_S).is_err(), "{place}");
        assert!(verified(&verifier, &token[..place], NOW_S).is_err(), "{place}");
    }
    for changed in [
        format!("{token}A"),
        format!("{token}="),
        format!("{token}."),
        format!("{token}.e30"),
        format!("{token} "),
        format!(" {token}"),
        format!("{token}\n"),
        format!("{token}\0"),
        token.replace('.', ".."),
        token.clone() + &"A".repeat(1 << 20),
        ".".repeat(1 << 20),
        "..".to_owned(),
        String::new(),
    ] {
        assert!(verified(&verifier, &changed, NOW_S).is_err(), "{:.100}", changed);
    }
    let other = claims().to_string().replace("user-1", "user-2");
    let parts: Vec<&str> = token.split('.').collect();
    let moved = format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(other), parts[2]);
    assert!(verified(&verifier, &moved, NOW_S).unwrap_err().starts_with("Refused"));
}

#[test]
fn retired_keys_verify_until_their_last_token_ends() {
    let (old, new) = (key("k1", 1), key("k2", 2));
    let verifier = verifier(&[old.public().clone(), new.public().clone()]);
    let token = issued(&old, NOW_S);
    assert!(verified(&verifier, &token, NOW_S).is_ok());
    verifier.replace_keys(&[old.public().clone().retired(at(NOW_S)), new.public().clone()]).unwrap();
    assert!(verified(&verifier, &token, NOW_S + 929).is_ok());
    assert!(verified(&verifier, &issued(&new, NOW_S + 10), NOW_S + 10).is_ok());
    assert!(verified(&verifier, &issued(&old, NOW_S + 1), NOW_S + 1).unwrap_err().starts_with("UnknownKey"));
    assert!(verified(&verifier, &token, NOW_S + 930).unwrap_err().starts_with("UnknownKey"));
    let kids = |now_s| {
        let set: Value = serde_json::from_str(&verifier.jwks(at(now_s))).unwrap();
        set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((kids(NOW_S + 929), kids(NOW_S + 930)), (vec!["k1".into(), "k2".into()], vec!["k2".to_owned()]));
}

/// What was verified before is forgotten with its key, also when another key takes its name.
#[test]
fn remembered_tokens_go_with_their_key() {
    let old = key("k1", 1);
    let token = issued(&old, NOW_S);
    for keys in [vec![], vec![key("k1", 2).public().clone()]] {
        let verifier = verifier(&[old.public().clone()]);
        assert!(verified(&verifier, &token, NOW_S).is_ok());
        verifier.replace_keys(&keys).unwrap();
        assert!(verified(&verifier, &token, NOW_S).is_err());
        verifier.replace_keys(&[old.public().clone()]).unwrap();
        assert!(verified(&verifier, &token, NOW_S).is_ok());
    }
}

/// I6: however many tokens are shown, few are remembered, and all are verified all the same.
#[test]
fn i6_remembered_tokens_are_few() {
    let (key, verifier) = (key("k1", 1), verifier(&[key("k1", 1).public().clone()]));
    let issuer = TokenIssuer::new(names(), &key);
    let issue = |number: usize| issuer.issue("user-1", &format!("session-{number}"), at(NOW_S)).unwrap().text;
    for number in 0..TOKENS_REMEMBERED_MAX + 500 {
        assert!(verifier.verify(&issue(number), at(NOW_S)).is_ok(), "{number}");
    }
    assert!(verifier.verified.len() <= TOKENS_REMEMBERED_MAX, "{}", verifier.verified.len());
    assert!(verifier.verified.len() > TOKENS_REMEMBERED_MAX / 2, "it does remember");
    // What nobody has signed is not remembered.
    let before = verifier.verified.len();
    for number in 0..100 {
        assert!(verifier.verify(&format!("{}x", issue(number)), at(NOW_S)).is_err());
    }
    assert_eq!(verifier.verified.len(), before);
    for number in [0, TOKENS_REMEMBERED_MAX + 499] {
        assert!(verifier.verify(&issue(number), at(NOW_S)).is_ok(), "remembered or not");
    }
}

#[test]
fn the_key_set_is_that_of_the_standard() {
    // RFC 8037, appendix A.
    let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
    let verifier = verifier(&[TokenKey::from_seed("k1", &seed).unwrap().public().clone()]);
    let expected = json!({ "keys": [{
        "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "k1",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    }] });
    assert_eq!(serde_json::from_str::<Value>(&verifier.jwks(at(NOW_S))).unwrap(), expected);
}

#[test]
fn keys_have_names_of_their_own() {
    let (one, other) = (TokenKey::generate().unwrap(), TokenKey::generate().unwrap());
    assert_ne!((one.public().kid(), one.seed()), (other.public().kid(), other.seed()));
    let stored = TokenKey::from_seed(one.public().kid(), one.seed()).unwrap();
    assert_eq!(stored.public(), one.public());
    assert!(verified(&verifier(&[stored.public().clone()]), &issued(&one, NOW_S), NOW_S).is_ok());
    assert_eq!(format!("{:?}", key("k1", 1)), "TokenKey { kid: \"k1\", .. }");
    for kid in ["", "a b", "a.b", "é", &"k".repeat(129)] {
        assert_eq!(TokenKey::from_seed(kid, &[1; 32]).unwrap_err(), InvalidTokenKey::Name, "{kid}");
    }
    assert_eq!(TokenKey::from_seed("k1", &[1; 31]).unwrap_err(), InvalidTokenKey::Seed);
    let twice = TokenVerifier::new(&names(), &[key("k1", 1).public().clone(), key("k1", 2).public().clone()]);
    assert_eq!(twice.unwrap_err(), InvalidTokenKey::Twice);
    let many: Vec<_> = (0..=TOKEN_KEYS_MAX).map(|at| key(&format!("k{at}"), 1).public().clone()).collect();
    assert_eq!(TokenVerifier::new(&names(), &many).unwrap_err(), InvalidTokenKey::Many);
}

#[test]
fn the_bare_operation_is_that_of_the_signature() {
    let (one, other) = (key("k1", 1), key("k2", 2));
    let token = issued(&one, NOW_S);
    let is_signed_by = |key: &TokenKey| key.public().bare_verification(&token).map(|verify| verify());
    assert_eq!((is_signed_by(&one), is_signed_by(&other)), (Some(true), Some(false)));
    assert!(one.public().bare_verification("a.b.c").is_none());
    assert!(!format!("{:?}", TokenIssuer::new(names(), &one).issue("u", "s", at(NOW_S)).unwrap()).contains("eyJ"));
}

#[test]
fn a_token_that_no_one_would_take_is_not_issued() {
    let issuer = TokenIssuer::new(names(), &key("k1", 1));
    assert!(issuer.issue(&"u".repeat(4_096), "s", at(NOW_S)).is_err());
}

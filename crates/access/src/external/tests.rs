//! Tokens as other programs make them, and the ways in which they and their keys can be wrong. The keys and tokens
//! of `vectors.json` were made by OpenSSL; the private halves are gone, but for that of `ed`, 32 times 3.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::time::MICROS_PER_SECOND;
use ring::hmac;
use ring::signature::Ed25519KeyPair;
use serde_json::json;

use super::*;

const NOW_S: i64 = 1_700_000_000;

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

fn token_of(algorithm: &str) -> String {
    vectors()["tokens"][algorithm].as_str().unwrap().to_owned()
}

fn config(jwks: &Value) -> ExternalIssuer {
    ExternalIssuer {
        issuer: "https://id.example".into(),
        audience: "nilometer".into(),
        jwks: jwks.to_string(),
        workspace_claim: "https://x/workspace".into(),
        role_claim: "role".into(),
    }
}

fn verifier() -> ExternalVerifier {
    ExternalVerifier::new(&config(&vectors()["jwks"])).unwrap()
}

fn verify_at(token: &str, seconds: i64) -> Result<ExternalIdentity, String> {
    let now = Timestamp::from_micros(seconds * MICROS_PER_SECOND);
    verifier().verify(token, now).map_err(|error| format!("{error:?}"))
}

fn claims() -> Value {
    json!({
        "iss": "https://id.example", "aud": "nilometer", "sub": "auth0|7", "https://x/workspace": "acme",
        "role": "admin", "exp": NOW_S + 600,
    })
}

/// A token of these claims, rightly signed by `ed`.
fn signed(claims: &str) -> String {
    let head = json!({ "alg": "EdDSA", "kid": "ed" }).to_string();
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims));
    let signature = Ed25519KeyPair::from_seed_unchecked(&[3; 32]).unwrap().sign(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn tokens_of_all_three_algorithms_are_taken() {
    let expected = ExternalIdentity { subject: "auth0|7".into(), workspace: "acme".into(), role: "admin".into() };
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        assert_eq!(verify_at(&token_of(algorithm), NOW_S).as_ref(), Ok(&expected), "{algorithm}");
    }
    assert_eq!(verify_at(&signed(&claims().to_string()), NOW_S).as_ref(), Ok(&expected));
}

#[test]
fn the_key_decides_the_algorithm() {
    // The same RSA key has signed these, and would verify them.
    for algorithm in ["PS256", "RS512"] {
        let error = verify_at(&token_of(algorithm), NOW_S).unwrap_err();
        assert!(error.starts_with("Refused"), "{algorithm}: {error}");
    }
    for (kid, algorithm) in [("rsa", "HS256"), ("rsa", "none"), ("rsa", "ES256"), ("ec", "RS256"), ("ed", "ES256")] {
        let head = json!({ "alg": algorithm, "kid": kid }).to_string();
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims().to_string()));
        let public = vectors()["jwks"]["keys"][0]["n"].as_str().unwrap().to_owned();
        for secret in [URL_SAFE_NO_PAD.decode(&public).unwrap(), public.into_bytes()] {
            let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message.as_bytes());
            let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
            assert!(verify_at(&token, NOW_S).unwrap_err().starts_with("Refused"), "{kid} {algorithm}");
        }
        assert!(verify_at(&format!("{message}."), NOW_S).is_err(), "{kid} {algorithm}");
    }
}

#[test]
fn a_changed_token_is_none() {
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let token = token_of(algorithm);
        for place in (0..token.len()).step_by(3).chain([token.len() - 1]) {
            let other = if token.as_bytes()[place] == b'A' { "B" } else { "A" };
            let changed = format!("{}{other}{}", &token[..place], &token[place + 1..]);
            assert!(verify_at(&changed, NOW_S).is_err(), "{algorithm} {place}");
        }
        for changed in [format!("{token}A"), format!("{token}.e30"), token.clone() + &"A".repeat(1 << 20)] {
            assert!(verify_at(&changed, NOW_S).is_err(), "{algorithm}");
        }
    }
}

#[test]
fn a_token_is_valid_for_its_time_forward_and_back() {
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        signed(&claims.to_string())
    };
    for (token, at_s, expected) in [
        (signed(&claims().to_string()), NOW_S + 629, "ok"),
        (signed(&claims().to_string()), NOW_S + 630, "Expired"),
        (signed(&claims().to_string()), NOW_S - 86_400, "ok"),
        (with("nbf", json!(NOW_S)), NOW_S - 30, "ok"),
        (with("nbf", json!(NOW_S)), NOW_S - 31, "NotYet"),
        (with("iat", json!(NOW_S)), NOW_S - 31, "NotYet"),
        (with("exp", json!(1_700_000_600.9)), NOW_S + 629, "ok"),
        (with("exp", json!(1_700_000_600.9)), NOW_S + 630, "Expired"),
        (with("exp", json!(-1)), NOW_S, "Expired"),
        (with("exp", json!(1e300)), NOW_S, "Invalid"),
        (with("exp", json!("1700000600")), NOW_S, "Invalid"),
        (with("exp", json!(null)), NOW_S, "Invalid"),
        (with("nbf", json!("1700000000")), NOW_S, "Invalid"),
        (with("nbf", json!(null)), NOW_S, "Invalid"),
    ] {
        let answer = verify_at(&token, at_s).map_or_else(|error| error, |_| "ok".to_owned());
        assert!(answer.starts_with(expected), "{at_s}: {answer}, and not {expected}");
    }
}

#[test]
fn a_remembered_token_is_still_held_against_the_time_and_no_other_is_taken_for_it() {
    let verifier = verifier();
    let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
    let token = token_of("RS256");
    let first = verifier.verify(&token, at(1_700_000_000)).unwrap();
    assert_eq!(verifier.verify(&token, at(1_700_000_000)).unwrap(), first);
    assert!(matches!(verifier.verify(&token, at(9_000_000_000)), Err(TokenError::Expired)));
    assert!(matches!(verifier.verify(&token, at(1_000_000_000)), Err(TokenError::NotYet)));
    let cut = &token[..token.len() - 1];
    for _ in 0..2 {
        assert!(verifier.verify(cut, at(1_700_000_000)).is_err(), "a refused token is not remembered as taken");
    }
    assert_eq!(verifier.verify(&token, at(1_700_000_000)).unwrap(), first);
}

#[test]
fn claims_are_all_there_once_and_right() {
    for (name, value) in [
        ("iss", json!("https://id.example/")),
        ("iss", json!(["https://id.example"])),
        ("aud", json!("other")),
        ("aud", json!([])),
        ("aud", json!(7)),
        ("sub", json!("")),
        ("sub", json!(7)),
        ("https://x/workspace", json!(["acme"])),
        ("https://x/workspace", json!("")),
        ("role", json!({ "admin": true })),
    ] {
        let mut claims = claims();
        claims[name] = value;
        assert!(verify_at(&signed(&claims.to_string()), NOW_S).is_err(), "{claims}");
    }
    for name in ["iss", "aud", "sub", "exp", "role", "https://x/workspace"] {
        let mut less = claims();
        less.as_object_mut().unwrap().remove(name).unwrap();
        assert!(verify_at(&signed(&less.to_string()), NOW_S).is_err(), "{name}");
        let twice = claims().to_string().replacen('{', &format!("{{\"{name}\":{},", claims()[name]), 1);
        assert!(verify_at(&signed(&twice), NOW_S).is_err(), "{twice}");
    }
    let escaped = claims().to_string().replacen('{', r#"{"r\u006fle":"owner","#, 1);
    assert!(verify_at(&signed(&escaped), NOW_S).is_err(), "{escaped}");
}

#[test]
fn wrong_key_sets_are_refused_with_the_reason() {
    use InvalidKeySet as Invalid;
    let keys = vectors()["jwks"]["keys"].as_array().unwrap().clone();
    let load = |keys: Vec<Value>| ExternalVerifier::new(&config(&json!({ "keys": keys }))).map(|it| it.keys.len());
    let with = |at: usize, name: &str, value: Value| {
        let mut key = keys[at].clone();
        key[name] = value;
        key
    };
    assert_eq!(load(keys.clone()), Ok(3));
    let symmetric = json!({ "kty": "oct", "kid": "s", "k": "AAAA", "use": "enc" });
    assert_eq!(load(vec![keys[0].clone(), symmetric]), Err(Invalid::Symmetric("s".into())));
    assert_eq!(load(vec![with(2, "d", json!("AAAA"))]), Err(Invalid::Private("ed".into())));
    assert_eq!(load(vec![keys[0].clone(), keys[0].clone()]), Err(Invalid::Twice("rsa".into())));
    assert_eq!(load(vec![with(1, "kid", json!(null))]), Err(Invalid::Nameless("number 1".into())));
    assert_eq!(load(vec![with(1, "kid", json!("k".repeat(129)))]), Err(Invalid::Nameless("k".repeat(129))));
    for key in [
        with(0, "n", json!(URL_SAFE_NO_PAD.encode([0xff; 128]))),
        with(0, "n", json!("")),
        with(0, "e", json!("")),
        with(0, "e", json!("AQ")),
        with(0, "e", json!("AQAC")),
        with(1, "x", json!("AAAA")),
        with(1, "y", json!(null)),
        with(2, "x", json!("AAAA=")),
    ] {
        let name = key["kid"].as_str().unwrap().to_owned();
        assert_eq!(load(vec![key.clone()]), Err(Invalid::Unusable(name)), "{key}");
    }
    // Keys for something else are passed over.
    let others = [
        with(0, "use", json!("enc")),
        with(0, "alg", json!("RSA-OAEP")),
        with(0, "alg", json!("RS512")),
        with(1, "crv", json!("P-384")),
        with(2, "crv", json!("X25519")),
        with(0, "kty", json!("AKP")),
    ];
    for other in others {
        assert_eq!(load(vec![other.clone()]), Err(Invalid::Empty), "{other}");
        assert_eq!(load(vec![other, keys[1].clone()]), Ok(1));
    }
    let signed_number = [&[0], URL_SAFE_NO_PAD.decode(keys[0]["n"].as_str().unwrap()).unwrap().as_slice()].concat();
    assert_eq!(load(vec![with(0, "n", json!(URL_SAFE_NO_PAD.encode(signed_number)))]), Ok(1));
    let many = (0..=TOKEN_KEYS_MAX).map(|at| with(2, "kid", json!(format!("k{at}")))).collect();
    assert_eq!(load(many), Err(Invalid::Large));
    for text in ["", "{}", "[]", r#"{"keys":{}}"#, r#"{"keys":[{}]}"#] {
        let wrong = ExternalIssuer { jwks: text.into(), ..config(&json!({})) };
        assert!(matches!(ExternalVerifier::new(&wrong), Err(Invalid::Form(_))), "{text}");
    }
    let long = ExternalIssuer { jwks: " ".repeat(TOKEN_KEY_SET_BYTES_MAX + 1), ..config(&json!({})) };
    assert_eq!(ExternalVerifier::new(&long).unwrap_err(), Invalid::Large);
}

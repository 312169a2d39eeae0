//! Vectors for implementations in other languages, and what a changed part does.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use proptest::prelude::*;

use super::*;

/// 32 bytes: 0, 1, 2, … 31.
const SECRET: &str = "nms_AbCdEfGhIj01_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// Time, method, target, body, and the signature, as another implementation of HMAC-SHA256 made it.
const VECTORS: [(i64, &str, &str, &[u8], &str); 4] = [
    (
        1_700_000_000,
        "POST",
        "/v1/events",
        br#"{"type":"chat"}"#,
        "b97618c8cb170166e7eac9f81dd822fe42c7111b69c3f8360dffab208d5dfda8",
    ),
    (
        1_700_000_000,
        "GET",
        "/v1/events?limit=10&cursor=a%2Fb",
        b"",
        "3176eeee43bed710f6e4376dc3bd6d84316c5e9e3e86b8bf23d764fba517fa4f",
    ),
    (0, "POST", "/v1/events", b"\x1f\x8b\x00\xff", "2f1759e78c825cca53c2ebbcdc3953856e4e629c4f255ec385c1f93beb99cf14"),
    (1_700_000_000, "PUT", "/é", b"\n", "45359ad1b808cdb154c6b93d519247bfbef12ab9176a8c9ba408719c92cdf7ba"),
];

fn secret() -> SigningSecret {
    SigningSecret::parse(SECRET).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * MICROS_PER_SECOND)
}

fn header() -> SignatureHeader {
    let (at_s, method, target, body, _) = VECTORS[0];
    sign(&secret(), at(at_s), method, target, body).unwrap()
}

#[test]
fn signatures_are_those_of_the_vectors() {
    for (at_s, method, target, body, signature) in VECTORS {
        let made = sign(&secret(), at(at_s), method, target, body).unwrap();
        let text = format!("t={at_s},k=AbCdEfGhIj01,v1={signature}");
        assert_eq!(made.to_string(), text);
        let read = SignatureHeader::parse(&text).unwrap();
        assert_eq!(read, made);
        assert_eq!(read.verify(&secret(), method, target, body), Ok(()));
    }
}

/// Events keep their ids across versions, or a replay across an upgrade would count twice. The ids were computed by
/// another implementation of BLAKE3.
#[test]
fn ids_of_events_are_those_of_the_vectors() {
    assert_eq!(header().event_id(0), "sig_s2a0cfuCvYhQUHS0qJLml1fpJpskOGG51S9YNdN8JsM");
    assert_eq!(header().event_id(1), "sig_8qXJ32zw5jLDAnqSlV2wSWwrFoL55k7QfC8pI-lMXWw");
    assert!(header().event_id(usize::MAX).len() <= 64);
    let text = header().to_string();
    let signature = text.rsplit_once('=').unwrap().1;
    let capitals = text.replace(signature, &signature.to_uppercase());
    let read = SignatureHeader::parse(&capitals).unwrap();
    assert_eq!(read.event_id(0), header().event_id(0), "the same signature in capitals is another event");
}

#[test]
fn any_changed_part_is_refused() {
    let (_, method, target, body, _) = VECTORS[0];
    let verify = |header: &SignatureHeader, method: &str, target: &str, body: &[u8]| {
        header.verify(&secret(), method, target, body)
    };
    assert_eq!(verify(&header(), method, target, body), Ok(()));
    let wrong = Err(WrongSignature);
    assert_eq!(verify(&header(), "PUT", target, body), wrong);
    assert_eq!(verify(&header(), "post", target, body), wrong);
    assert_eq!(verify(&header(), method, "/v1/events?", body), wrong);
    assert_eq!(verify(&header(), method, "/v1/event", body), wrong);
    assert_eq!(verify(&header(), method, target, b""), wrong);
    assert_eq!(verify(&header(), method, target, br#"{"type":"chat"} "#), wrong);
    assert_eq!(verify(&SignatureHeader { at_s: 1_700_000_001, ..header() }, method, target, body), wrong);
    assert_eq!(verify(&SignatureHeader { key_id: "AbCdEfGhIj02".into(), ..header() }, method, target, body), wrong);
    for at in 0..32 {
        let mut changed = header();
        changed.signature[at] ^= 0x80;
        assert_eq!(verify(&changed, method, target, body), wrong, "{at}");
    }
    let other = SigningSecret::from_parts("AbCdEfGhIj01", &[9; 32]).unwrap();
    assert_eq!(header().verify(&other, method, target, body), wrong);
}

/// Parts cannot be moved across the lines of what is signed.
#[test]
fn a_line_break_in_a_part_is_refused() {
    assert_eq!(sign(&secret(), at(0), "POST\n/v1", "/events", b""), Err(WrongSignature));
    assert_eq!(sign(&secret(), at(0), "POST", "/v1\n/events", b""), Err(WrongSignature));
    assert_eq!(header().verify(&secret(), "POST\n", "/v1/events", b""), Err(WrongSignature));
}

#[test]
fn a_signature_is_taken_for_a_while() {
    let header = header();
    let signed = at(1_700_000_000);
    let after = |micros: i64| header.check_time(signed.plus_micros(micros));
    assert_eq!(after(0), Ok(()));
    assert_eq!(after(300 * MICROS_PER_SECOND), Ok(()));
    assert_eq!(after(300 * MICROS_PER_SECOND + 1), Err(SignatureTimeError::Old));
    // The clock stepped back, or the client's is ahead.
    assert_eq!(after(-30 * MICROS_PER_SECOND), Ok(()));
    assert_eq!(after(-30 * MICROS_PER_SECOND - 1), Err(SignatureTimeError::Ahead));
    let far = SignatureHeader { at_s: u64::MAX, ..header.clone() };
    assert_eq!(far.check_time(Timestamp::MIN), Err(SignatureTimeError::Ahead));
    assert_eq!(SignatureHeader { at_s: 0, ..header }.check_time(Timestamp::MAX), Err(SignatureTimeError::Old));
}

#[test]
fn the_header_is_read_strictly() {
    use InvalidSignatureHeader as Invalid;
    let hex = "0".repeat(64);
    let good = format!("t=5,k=AbCdEfGhIj01,v1={hex}");
    assert!(SignatureHeader::parse(&good).is_ok());
    assert!(SignatureHeader::parse(&format!("v1={hex},k=AbCdEfGhIj01,t=5")).is_ok());
    for (text, error) in [
        (String::new(), Invalid::Field),
        (good.replace("t=5,", ""), Invalid::Missing("t")),
        (good.replace("k=AbCdEfGhIj01,", ""), Invalid::Missing("k")),
        (good.replace(&format!(",v1={hex}"), ""), Invalid::Missing("v1")),
        (format!("{good},t=5"), Invalid::Repeated),
        (good.replace("t=5", "t=5,t=6"), Invalid::Repeated),
        (good.replace("t=5", "t=5,k=AbCdEfGhIj01"), Invalid::Repeated),
        (good.replace(",k", ", k"), Invalid::Field),
        (format!("{good},"), Invalid::Field),
        (format!("{good},v2=1"), Invalid::Field),
        (good.replace("v1", "V1"), Invalid::Field),
        (good.replace("t=5", "t=05"), Invalid::Time),
        (good.replace("t=5", "t=-5"), Invalid::Time),
        (good.replace("t=5", "t=+5"), Invalid::Time),
        (good.replace("t=5", "t=5.0"), Invalid::Time),
        (good.replace("t=5", "t="), Invalid::Time),
        (good.replace("t=5", "t=18446744073709551616"), Invalid::Time),
        (good.replace("01,", "0,"), Invalid::KeyId),
        (good.replace("01,", "0-,"), Invalid::KeyId),
        (good.replace(&hex, &hex[1..]), Invalid::Signature),
        (good.replace(&hex, &format!("{}g", &hex[1..])), Invalid::Signature),
        ("x".repeat(129), Invalid::Long),
    ] {
        assert_eq!(SignatureHeader::parse(&text), Err(error), "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in r"(t=|k=|v1=|,|[0-9a-f]{1,64}|AbCdEfGhIj01|\PC){0,12}") {
        if let Ok(read) = SignatureHeader::parse(&text) {
            prop_assert_eq!(SignatureHeader::parse(&read.to_string()), Ok(read));
        }
        prop_assert!(SigningSecret::parse(&text).is_err());
    }

    #[test]
    fn what_is_signed_is_verified(at_s in 0..4_000_000_000_i64, target in "[!-~]{1,40}", body: Vec<u8>) {
        let made = sign(&secret(), at(at_s), "POST", &target, &body).unwrap();
        let read = SignatureHeader::parse(&made.to_string()).unwrap();
        prop_assert_eq!(read.verify(&secret(), "POST", &target, &body), Ok(()));
        prop_assert_eq!(read.check_time(at(at_s)), Ok(()));
    }
}

#[test]
fn secrets_are_read_as_they_are_printed() {
    assert_eq!(*secret().to_text(), SECRET);
    assert_eq!((secret().id(), secret().bytes()[31]), ("AbCdEfGhIj01", 31));
    assert_eq!(format!("{:?}", secret()), "SigningSecret { id: \"AbCdEfGhIj01\", .. }");
    // Base64 for addresses has the separator in it.
    let made = SigningSecret::from_parts("AbCdEfGhIj01", &[0xff; 32]).unwrap();
    assert_eq!(SigningSecret::parse(&made.to_text()).unwrap().bytes(), &[0xff; 32]);
    let (one, other) = (SigningSecret::generate().unwrap(), SigningSecret::generate().unwrap());
    assert_ne!(one.to_text(), other.to_text());
    assert_eq!(SigningSecret::parse(&one.to_text()).unwrap().id(), one.id());
    for text in
        ["", "nms_", &SECRET[..59], &format!("{SECRET}A"), &SECRET.replace("nms", "nmr"), &SECRET.replace("01_", "0_")]
    {
        assert_eq!(SigningSecret::parse(text).unwrap_err(), InvalidSecret, "{text}");
    }
    assert!(SigningSecret::from_parts("AbCdEfGhIj01", &[0; 31]).is_err());
}

//! What is encrypted, what of it comes back, and what is noticed; with a cipher that hides nothing, so that the bytes can be
//! looked at.

#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use proptest::prelude::*;

use super::*;
use crate::event::IdScheme;
use crate::limits::ENCRYPTED_VALUES_MAX;
use crate::property_path::PropertyPath;

/// No secret: the plain text in hexadecimal, behind a checksum over it and what it is bound to.
#[derive(Debug)]
struct Transparent;

fn checksum(binding: Binding<'_>, plain: &str) -> String {
    blake3::hash(format!("{binding:?}{plain}").as_bytes()).to_hex()[..8].to_owned()
}

impl FieldCipher for Transparent {
    fn encrypt(&self, binding: Binding<'_>, plain: &str, out: &mut String) -> Result<(), NoDataKey> {
        out.push_str(&checksum(binding, plain));
        out.extend(plain.bytes().map(|byte| format!("{byte:02x}")));
        Ok(())
    }

    fn decrypt(&self, binding: Binding<'_>, text: &str) -> Option<String> {
        let (sum, hex) = text.split_at_checked(8)?;
        let byte = |at: usize| hex.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let bytes = (0..hex.len()).step_by(2).map(byte).collect::<Option<Vec<_>>>()?;
        String::from_utf8(bytes).ok().filter(|plain| sum == checksum(binding, plain))
    }

    fn keyed(&self, hash: u64) -> u64 {
        !hash
    }
}

fn paths(wanted: &[(&str, bool)]) -> EncryptedPaths {
    let wanted: Vec<_> = wanted.iter().map(|(path, mode)| (PropertyPath::parse(path).unwrap(), *mode)).collect();
    EncryptedPaths::default().replaced(&wanted).unwrap()
}

fn encryption(wanted: &[(&str, bool)]) -> FieldEncryption {
    FieldEncryption::new(paths(wanted), Arc::new(Transparent))
}

fn id(text: &str) -> EventId<'_> {
    EventId { scheme: IdScheme::Native, text }
}

fn shown(lens: &Lens, event: &str, properties: &str) -> String {
    lens.properties(id(event), properties).properties.into_owned()
}

#[test]
fn every_value_at_a_path_is_encrypted_whatever_it_is_and_however_its_key_is_written() {
    let encryption = encryption(&[("email", false), ("user.name", false), ("tags", true)]);
    for (properties, hidden) in [
        (r#"{"email":"a@b","n":1}"#, r#"{"email":"<encrypted>","n":1}"#),
        (r#" { "n" : 1 , "email" : 7 } "#, r#" { "n" : 1 , "email" : "<encrypted>" } "#),
        (r#"{"\u0065mail":true}"#, r#"{"\u0065mail":"<encrypted>"}"#),
        (r#"{"email":{"of":["a",{"b":1}]}}"#, r#"{"email":"<encrypted>"}"#),
        (r#"{"email":"a","email":"b"}"#, r#"{"email":"<encrypted>","email":"<encrypted>"}"#),
        (r#"{"user":{"name":"x","id":2}}"#, r#"{"user":{"name":"<encrypted>","id":2}}"#),
        (r#"{"user.name":"x"}"#, r#"{"user.name":"<encrypted>"}"#),
        (
            r#"{"user":[{"name":"x"},[{"name":"y"}],3]}"#,
            r#"{"user":[{"name":"<encrypted>"},[{"name":"<encrypted>"}],3]}"#,
        ),
        (r#"{"tags":["a","}\"b"]}"#, r#"{"tags":"<encrypted>"}"#),
    ] {
        let sealed = encryption.seal(id("e"), properties, usize::MAX).unwrap().unwrap();
        assert_eq!(shown(&Lens::HIDING, "e", &sealed), hidden);
        assert_eq!(shown(&encryption.lens(), "e", &sealed), properties, "{sealed}");
        assert!(holds_encrypted(&sealed), "{sealed}");
    }
    for untouched in [
        r#"{"email":null}"#,
        r#"{"emails":"a","user":"x","Email":"b","a":{"email":"c"}}"#,
        "{}",
        "",
        r#"{"email""#,
        r#"{"email":"#,
        "[1]",
        "7",
    ] {
        assert_eq!(encryption.seal(id("e"), untouched, usize::MAX).unwrap(), None, "{untouched}");
    }
}

#[test]
fn what_is_shown_in_place_of_a_value_is_never_taken_for_one() {
    let encryption = encryption(&[("email", false)]);
    for text in [HIDDEN, UNREADABLE] {
        let refused = encryption.seal(id("e"), &format!(r#"{{"email":"{text}"}}"#), usize::MAX).unwrap_err();
        assert_eq!(refused, SealError::Placeholder("email".to_owned()));
        assert_eq!(encryption.seal(id("e"), &format!(r#"{{"other":"{text}"}}"#), usize::MAX).unwrap(), None);
    }
    let sealed = encryption.seal(id("e"), r#"{"email":"a"}"#, usize::MAX).unwrap().unwrap();
    let moved = sealed.replace("email", "other");
    assert!(holds_encrypted(&moved));
    // A text about one is none, and neither is a key.
    for plain in [r#"{"a":"see \"nmenc1.b.x"}"#, r#"{"nmenc1.b":1}"#, r#"{"a":"nmenc1"}"#] {
        assert!(!holds_encrypted(plain), "{plain}");
    }
}

#[test]
fn a_bound_value_that_is_moved_or_cut_is_noticed_and_a_deterministic_one_is_alike_everywhere() {
    let encryption = encryption(&[("a.x", false), ("d", true)]);
    let sealed = encryption.seal(id("e"), r#"{"a":[{"x":"1"},{"x":"2"}],"d":"1"}"#, usize::MAX).unwrap().unwrap();
    let seen = |event, text: &str| encryption.lens().properties(id(event), text).unreadable;
    assert_eq!(seen("e", &sealed), 0);
    assert_eq!(seen("f", &sealed), 2, "swapped between events");
    let texts: Vec<&str> = sealed.split('"').filter(|text| text.starts_with(MARK)).collect();
    assert_eq!(texts.len(), 3);
    let swapped = sealed.replace(texts[0], "+").replace(texts[1], texts[0]).replace('+', texts[1]);
    assert_eq!(seen("e", &swapped), 2, "swapped within an event");
    for cut in 0..texts[0].len() - MARK.len() {
        let text = sealed.replace(texts[0], &texts[0][..texts[0].len() - 1 - cut]);
        assert_eq!(seen("e", &text), 1, "{text}");
    }
    let other = encryption.seal(id("g"), r#"{"d":"1"}"#, usize::MAX).unwrap().unwrap();
    assert!(other.contains(texts[2]), "equality shows");
    assert_eq!(encryption.lens().value_at("d", &format!("\"{}\"", texts[2])), "\"1\"");
    assert_eq!(Lens::HIDING.value_at("d", &format!("\"{}\"", texts[2])), "\"<encrypted>\"");
    assert_eq!(encryption.lens().value_at("c", &format!("\"{}\"", texts[2])), "\"<unreadable>\"");
    assert_eq!(encryption.lens().value_at("a.x", &format!("\"{}\"", texts[0])), "\"<encrypted>\"");
}

#[test]
fn a_path_is_never_forgotten_and_keeps_how_it_is_bound() {
    let path = |text: &str| PropertyPath::parse(text).unwrap();
    let first = paths(&[("a", false), ("d.e", true)]);
    let removed = first.replaced(&[]).unwrap();
    assert_eq!(removed.active().count(), 0);
    for known in [&first, &removed] {
        assert!(matches!(known.standing(&path("a")), PathStanding::Bound(_)));
        assert!(matches!(known.standing(&path("a.b")), PathStanding::Within(_)));
        assert_eq!(known.standing(&path("d.e")), PathStanding::Deterministic);
        assert_eq!(known.standing(&path("\"d.e\"")), PathStanding::Deterministic);
        assert!(matches!(known.standing(&path("d.e.f")), PathStanding::Within(_)));
        for plain in ["d", "ab", "b.a", "d.ef"] {
            assert_eq!(known.standing(&path(plain)), PathStanding::Plain, "{plain}");
        }
        assert_eq!(known.replaced(&[(path("a"), true)]).unwrap_err().index, Some(0));
    }
    assert_eq!(first.replaced(&[(path("b"), true), (path("\"b\""), true)]).unwrap_err().index, Some(1));
    let many: Vec<_> = (0..=crate::limits::ENCRYPTED_PATHS_MAX).map(|n| (path(&format!("p{n}")), false)).collect();
    assert_eq!(EncryptedPaths::default().replaced(&many).unwrap_err().index, None);
}

/// JSON of any shape.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("-1.5e3".to_owned()),
        Just("true".to_owned()),
        "[ -~é]{0,6}".prop_map(|text| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec(("[abc.]{1,3}", inner), 0..4).prop_map(|members| {
                let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\" :{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    /// What was encrypted comes back byte for byte, and a repetition gives the same bytes.
    #[test]
    fn what_is_encrypted_comes_back_and_a_retry_is_the_same(
        members in prop::collection::vec(("[abc]{1,2}", json()), 0..4),
        listed in prop::collection::btree_map("[abc]{1,2}(\\.[abc]){0,2}", any::<bool>(), 1..4),
    ) {
        let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
        let properties = format!("{{{}}}", members.join(" ,"));
        let listed: Vec<_> = listed.iter().map(|(path, mode)| (path.as_str(), *mode)).collect();
        let encryption = encryption(&listed);
        let sealed = encryption.seal(id("e"), &properties, usize::MAX).unwrap();
        prop_assert_eq!(&sealed, &encryption.seal(id("e"), &properties, usize::MAX).unwrap());
        if let Some(sealed) = sealed {
            prop_assert_eq!(shown(&encryption.lens(), "e", &sealed), properties);
            prop_assert!(!shown(&Lens::HIDING, "e", &sealed).contains(MARK));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(text in "[\\{\\}\\[\\]\",:\\\\ nua0-9\u{e9}]{0,40}") {
        let encryption = encryption(&[("a", false), ("n.u", true)]);
        let _ = encryption.seal(id("e"), &text, usize::MAX);
        let _ = encryption.lens().properties(id("e"), &format!("{text}\"nmenc1.b.{text}"));
        let _ = holds_encrypted(&text);
    }
}

/// Counts what is encrypted.
#[derive(Debug, Default)]
struct Counting(std::sync::atomic::AtomicUsize);

impl Counting {
    fn calls(&self) -> usize {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

impl FieldCipher for Counting {
    fn encrypt(&self, binding: Binding<'_>, plain: &str, out: &mut String) -> Result<(), NoDataKey> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Transparent.encrypt(binding, plain, out)
    }

    fn decrypt(&self, binding: Binding<'_>, text: &str) -> Option<String> {
        Transparent.decrypt(binding, text)
    }

    fn keyed(&self, hash: u64) -> u64 {
        hash
    }
}

/// Found in November 2026: all values of an event were encrypted before it was seen that they become too long.
#[test]
fn i6_encrypting_ends_with_the_value_that_is_one_too_many_or_too_long() {
    let many = |values: usize| format!(r#"{{"a":[{}{{"x":1}}]}}"#, r#"{"x":1},"#.repeat(values - 1));
    let counting = Arc::new(Counting::default());
    let encryption = FieldEncryption::new(paths(&[("a.x", false)]), counting.clone());
    assert!(encryption.seal(id("e"), &many(ENCRYPTED_VALUES_MAX), usize::MAX).unwrap().is_some());
    assert_eq!(counting.calls(), ENCRYPTED_VALUES_MAX);
    let told = encryption.seal(id("e"), &many(8_000), usize::MAX).unwrap_err();
    assert_eq!((&told, counting.calls()), (&SealError::TooMany, 2 * ENCRYPTED_VALUES_MAX));
    assert_eq!(told.to_string(), "hold more than 1000 values to be encrypted");
    // Each is 21 bytes in the place of one.
    let properties = many(100);
    let told = encryption.seal(id("e"), &properties, properties.len() + 190).unwrap_err();
    assert_eq!((told, counting.calls()), (SealError::TooLong(properties.len() + 190), 2 * ENCRYPTED_VALUES_MAX + 10));
    let sealed = encryption.seal(id("e"), &properties, properties.len() + 2_000).unwrap().unwrap();
    assert_eq!(sealed.len(), properties.len() + 2_000);
}

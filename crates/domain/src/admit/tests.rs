//! Admission against its rules, and records against what was admitted.

use super::*;
use crate::event::{ProviderTokens, UsageText};
use crate::record::RecordView;
use crate::tenant::TenantId;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp::from_micros(1_760_000_000_000_000);

fn check(candidate: &Candidate<'_>) -> Result<(), RejectCode> {
    check_with(candidate, &Limits::default(), &mut AnyName)
}

fn check_with(candidate: &Candidate<'_>, limits: &Limits, names: &mut dyn Names) -> Result<(), RejectCode> {
    let (scope, hasher) = (TenantScope::for_operator(TenantId::default_tenant()), PayloadHasher::new(&[7; 16]));
    let admission = Admission::new(context(&scope, limits, &hasher, NOW), 0);
    admission.check(candidate, names, || "assigned".into()).map(|_| ()).map_err(|why| why.code)
}

fn context<'p>(
    scope: &'p TenantScope,
    limits: &'p Limits,
    hasher: &'p PayloadHasher,
    now: Timestamp,
) -> AdmissionContext<'p> {
    let times = ReceiptTimes { received_at: now, watermark: now };
    AdmissionContext {
        scope,
        limits,
        hasher,
        times,
        request: None,
        strict: false,
        former_ids: false,
        project: None,
        encryption: None,
    }
}

fn text(value: &str) -> Option<Cow<'_, str>> {
    Some(Cow::Borrowed(value))
}

#[test]
fn each_bad_field_has_its_code() {
    let long = "x".repeat(300);
    let ok = Candidate::default();
    assert_eq!(check(&ok), Ok(()));
    assert_eq!(check(&Candidate { id: text(""), ..ok.clone() }), Err(RejectCode::InvalidValue));
    assert_eq!(check(&Candidate { id: text(&long), ..ok.clone() }), Err(RejectCode::TooLong));
    assert_eq!(check(&Candidate { user: text("a\0b"), ..ok.clone() }), Err(RejectCode::InvalidValue));
    assert_eq!(check(&Candidate { tenant: text("other"), ..ok.clone() }), Err(RejectCode::TenantMismatch));
    assert_eq!(check(&Candidate { tenant: text("default"), ..ok.clone() }), Ok(()));
    let big = format!("{{\"a\":\"{}\"}}", "x".repeat(70_000));
    assert_eq!(check(&Candidate { properties: text(&big), ..ok.clone() }), Err(RejectCode::PropertiesTooLarge));
}

#[test]
fn counts_are_whole_bounded_and_never_negative() {
    for (number, taken) in [
        ("0", true),
        ("1500", true),
        ("1500.0", true),
        ("1.5e3", true),
        ("1000000000000", true),
        ("1000000000001", false),
        ("-1", false),
        ("-0", true),
        ("0.5", false),
        ("9223372036854775807", false),
        ("-9223372036854775808", false),
        ("18446744073709551616", false),
        ("1e400", false),
        ("nan", false),
    ] {
        let usage = UsageText { tokens: text(number), ..UsageText::default() };
        let found = check(&Candidate { usage, ..Candidate::default() });
        assert_eq!(found.is_ok(), taken, "{number}: {found:?}");
    }
}

#[test]
fn tokens_are_input_plus_output_when_absent() {
    let usage = UsageText { input_tokens: text("500"), output_tokens: text("1000"), ..UsageText::default() };
    assert_eq!(check_usage(&usage, None).map(|(u, _)| u.tokens), Ok(Some(1500)));
    let given = UsageText { tokens: text("7"), ..usage };
    assert_eq!(check_usage(&given, None).map(|(u, _)| u.tokens), Ok(Some(7)));
}

#[test]
fn named_measures_go_before_those_of_a_provider_and_parts_are_cut_to_their_whole() {
    let provider = ProviderTokens {
        input: Some(100),
        output: Some(40),
        cache_read: Some(60),
        cache_write: Some(30),
        reasoning: Some(10),
        beside: false,
    };
    let of = |usage: &UsageText<'_>| {
        let (usage, is_cut) = check_usage(usage, Some(&provider)).unwrap_or_default();
        let parts = [usage.cache_read_tokens, usage.cache_write_tokens, usage.reasoning_tokens];
        (usage.tokens, usage.input_tokens, usage.output_tokens, parts.map(|part| part.unwrap_or(0)), is_cut)
    };
    let none = UsageText::default();
    assert_eq!(of(&none), (Some(140), Some(100), Some(40), [60, 30, 10], false));
    let total = UsageText { tokens: text("7"), ..none.clone() };
    assert_eq!(of(&total), (Some(7), Some(100), Some(40), [60, 30, 10], true), "less than its parts, and told");
    let less = UsageText { input_tokens: text("70"), output_tokens: text("0"), ..none };
    assert_eq!(of(&less), (Some(70), Some(70), Some(0), [60, 10, 0], true), "the whole stands");
}

fn checked_warnings(candidate: &Candidate<'_>, strict: bool) -> Result<Vec<WarningCode>, RejectCode> {
    let (scope, hasher) = (TenantScope::for_operator(TenantId::default_tenant()), PayloadHasher::new(&[7; 16]));
    let limits = Limits::default();
    let admission = Admission::new(AdmissionContext { strict, ..context(&scope, &limits, &hasher, NOW) }, 0);
    let checked = admission.check(candidate, &mut AnyName, || "assigned".into()).map_err(|why| why.code)?;
    Ok(checked.warnings().iter().map(|warning| warning.code).collect())
}

#[test]
fn zero_times_and_names_for_nothing_are_told_and_refused_by_a_strict_request() {
    let someone = Candidate { user: text("u"), ..Candidate::default() };
    let at = |time: &'static str| Candidate { time: Some(TimeText::Text(Cow::Borrowed(time))), ..someone.clone() };
    for zero in ["2000-01-01T00:00:00Z", "2001-01-01T00:00:00Z", "1980-01-06T00:00:00Z", "2000-01-01", "946684800"] {
        assert_eq!(checked_warnings(&at(zero), false), Ok(vec![WarningCode::ZeroTime]), "{zero}");
        assert_eq!(checked_warnings(&at(zero), true), Err(RejectCode::Strict(WarningCode::ZeroTime)), "{zero}");
    }
    for time in ["2000-01-01T00:00:00.000001Z", "2000-01-01T00:00:01Z", "2001-01-01T01:00:00Z", "2025-01-01"] {
        assert_eq!(checked_warnings(&at(time), true), Ok(vec![]), "{time}");
    }
    for (candidate, code) in [
        (Candidate::default(), WarningCode::NoCustomerOrUser),
        (Candidate { customer: text("undefined"), ..Candidate::default() }, WarningCode::PlaceholderValue),
        (Candidate { user: text("NULL"), ..Candidate::default() }, WarningCode::PlaceholderValue),
    ] {
        assert_eq!(checked_warnings(&candidate, false), Ok(vec![code]));
        assert_eq!(checked_warnings(&candidate, true), Err(RejectCode::Strict(code)));
    }
    let near = Candidate { warnings: vec![Warning::of(WarningCode::NearField, "custmer")], ..someone };
    assert_eq!(checked_warnings(&near, true), Ok(vec![WarningCode::NearField]), "near names are never refused");
}

#[test]
fn source_and_id_of_a_cloud_event_are_apart_in_any_case_and_never_a_native_id() {
    let limits = Limits::default();
    let (scope, hasher) = (TenantScope::for_operator(TenantId::default_tenant()), PayloadHasher::new(&[7; 16]));
    let admission = Admission::new(context(&scope, &limits, &hasher, NOW), 0);
    let stored = |source: Option<&str>, id: &str| {
        let candidate = Candidate { id: text(id), source: source.map(Cow::Borrowed), ..Candidate::default() };
        let checked = admission.check(&candidate, &mut AnyName, || "assigned".into()).map_err(|why| why.code)?;
        assert_eq!(checked.shown_id(), id, "the client is told its own id");
        Ok::<_, RejectCode>((checked.event_id().scheme, checked.event_id().text.to_owned()))
    };
    assert_eq!(stored(Some("/a"), "1"), Ok((IdScheme::CloudEvent, "ce:/a#1".to_owned())));
    assert_eq!(stored(Some("a#b"), "c%d"), Ok((IdScheme::CloudEvent, "ce:a%23b#c%25d".to_owned())));
    assert_ne!(stored(Some("a#b"), "c"), stored(Some("a"), "b#c"));
    assert_eq!(stored(None, "ce:/a#1"), Ok((IdScheme::Native, "ce:/a#1".to_owned())));
    let long = "x".repeat(300);
    let hashed = stored(Some(&long), "1").map(|(_, text)| text).unwrap_or_default();
    assert!(hashed.starts_with("ce:h:") && hashed.len() == 37, "{hashed}");
    assert_ne!(stored(Some(&long), "1"), stored(Some(&long), "2"));
    assert_eq!(stored(Some("a\n"), "1"), Err(RejectCode::InvalidValue));
    assert_eq!(stored(Some(&"x".repeat(3_000)), "1"), Err(RejectCode::TooLong));
}

#[test]
fn i2_the_id_of_an_export_is_taken_as_it_was_stored() {
    let limits = Limits::default();
    let (scope, hasher) = (TenantScope::for_operator(TenantId::default_tenant()), PayloadHasher::new(&[7; 16]));
    let admission = Admission::new(context(&scope, &limits, &hasher, NOW), 0);
    let sent = Candidate { id: text("c%d"), source: text("a#b"), ..Candidate::default() };
    let stored_scheme = Some(IdScheme::CloudEvent);
    let exported = Candidate { id: text("ce:a%23b#c%25d"), stored_scheme, ..Candidate::default() };
    let check = |candidate: &Candidate<'_>| {
        let checked = admission.check(candidate, &mut AnyName, String::new).map_err(|why| why.code)?;
        let (id, former) = (checked.event_id(), checked.former_id().map(|former| former.text.to_owned()));
        Ok::<_, RejectCode>((id.scheme, id.text.to_owned(), checked.payload_hash(), former))
    };
    let payload = hasher.written(&sent);
    let stored = |former: Option<&str>| {
        Ok((IdScheme::CloudEvent, "ce:a%23b#c%25d".to_owned(), payload, former.map(str::to_owned)))
    };
    assert_eq!(check(&sent), stored(Some("c%d")));
    assert_eq!(check(&exported), stored(None));
}

#[test]
fn the_future_ends_after_120_seconds_and_the_past_where_the_tenant_says() {
    let at = |micros: i64| Candidate {
        time: Some(TimeText::Number(Cow::Owned(NOW.plus_micros(micros).micros().to_string()))),
        ..Candidate::default()
    };
    assert_eq!(check(&at(120_000_000)), Ok(()));
    assert_eq!(check(&at(120_000_001)), Err(RejectCode::TimeInFuture));
    assert_eq!(check(&at(-40 * 365 * 86_400_000_000)), Ok(()));
    let strict = Limits { lateness_us_max: Some(120_000_000), ..Limits::default() };
    assert_eq!(check_with(&at(-120_000_000), &strict, &mut AnyName), Ok(()));
    assert_eq!(check_with(&at(-120_000_001), &strict, &mut AnyName), Err(RejectCode::TooLate));
}

#[test]
fn the_type_follows_from_the_endpoint() {
    let limits = Limits::default();
    let (scope, hasher) = (TenantScope::for_operator(TenantId::default_tenant()), PayloadHasher::new(&[7; 16]));
    let admission = Admission::new(context(&scope, &limits, &hasher, NOW), 0);
    for (endpoint, kind) in [(None, TYPE_OF_OTHER), (Some("/x"), TYPE_OF_CALL)] {
        let candidate = Candidate { endpoint: endpoint.map(Cow::Borrowed), ..Candidate::default() };
        let found = admission.check(&candidate, &mut AnyName, || "assigned".into());
        assert_eq!(found.map(|checked| checked.view().kind.to_owned()), Ok(kind.to_owned()));
    }
}

#[test]
fn a_retry_without_a_time_has_the_same_payload_hash() {
    let limits = Limits::default();
    let (scope, hasher) = (TenantScope::for_operator(TenantId::default_tenant()), PayloadHasher::new(&[7; 16]));
    let candidate = Candidate { id: text("e1"), kind: text("login"), ..Candidate::default() };
    let hash = |now: Timestamp| {
        let admission = Admission::new(context(&scope, &limits, &hasher, now), 0);
        admission.check(&candidate, &mut AnyName, String::new).map(|checked| checked.payload_hash())
    };
    assert_eq!(hash(NOW), hash(NOW.plus_micros(5_000_000)));
    assert!(hash(NOW).is_ok());
}

fn name() -> impl Strategy<Value = Option<String>> {
    proptest::option::of("[a-zäß/ .-]{1,40}")
}

#[test]
fn i9_a_name_holds_every_character_but_control_characters() {
    for character in (0..=0x2FF).filter_map(char::from_u32) {
        let name = format!("ab{character}cd");
        assert_eq!(checked_text("user", &name, 100).is_err(), character.is_control(), "{character:?}");
    }
}

proptest! {
    #[test]
    fn a_record_gives_back_what_was_admitted(
        ids in proptest::collection::vec("[a-z0-9-]{1,64}", 1..20),
        (kind, project, customer, user, endpoint, model) in (name(), name(), name(), name(), name(), name()),
        numbers in proptest::array::uniform4(proptest::option::of(0_u64..1_000_000)),
        properties in proptest::option::of("\\{\"[a-z]{1,5}\":[0-9]{1,5}\\}"),
        micros in 315_619_200_000_000_i64..1_760_000_000_000_000,
    ) {
        let limits = Limits::default();
        let (scope, hasher) = (TenantScope::for_operator(TenantId::default_tenant()), PayloadHasher::new(&[7; 16]));
        let mut admission = Admission::new(context(&scope, &limits, &hasher, NOW), 0);
        let number = |n: Option<u64>| n.map(|n| Cow::Owned(n.to_string()));
        let usage = UsageText {
            tokens: number(numbers[0]), input_tokens: number(numbers[1]),
            output_tokens: number(numbers[2]), latency_ms: number(numbers[3]),
            model: model.as_deref().map(Cow::Borrowed),
            ..UsageText::default()
        };
        let candidates: Vec<_> = ids.iter().map(|id| Candidate {
            id: text(id),
            time: Some(TimeText::Text(Cow::Owned(Timestamp::from_micros(micros).to_string()))),
            kind: kind.as_deref().map(Cow::Borrowed),
            project: project.as_deref().map(Cow::Borrowed),
            customer: customer.as_deref().map(Cow::Borrowed),
            user: user.as_deref().map(Cow::Borrowed),
            endpoint: endpoint.as_deref().map(Cow::Borrowed),
            properties: properties.as_deref().map(Cow::Borrowed),
            usage: usage.clone(), ..Candidate::default()
        }).collect();
        let mut checked = Vec::new();
        for candidate in &candidates {
            let one = admission.check(candidate, &mut AnyName, String::new);
            prop_assert!(one.is_ok());
            checked.extend(one);
        }
        checked.iter().for_each(|one| admission.push(one));
        let admitted = admission.finish();
        let payload = admitted.map(|a| a.payload().clone()).unwrap_or_default();
        let record = RecordView::parse(&payload).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(record.count() as usize, ids.len());
        prop_assert_eq!(record.received_at(), NOW);
        for (body, one) in record.bodies().zip(&checked) {
            let body = body.map_err(|e| TestCaseError::fail(e.to_string()))?;
            let (event, identity) = body.event_with_identity().map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(identity.payload, one.payload_hash());
            prop_assert_eq!(event, one.view());
            let brief = body.brief().map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!((brief.time, brief.kind), (event.time, event.kind));
            prop_assert_eq!((brief.customer, brief.user), (event.customer, event.user));
        }
        prop_assert_eq!(record.bodies().count(), ids.len());
        for cut in 0..payload.len() {
            let whole = RecordView::parse(&payload[..cut]).is_ok_and(|r| r.bodies().all(|b| b.is_ok()));
            prop_assert!(!whole, "a prefix of {} bytes passed for the whole", cut);
        }
    }

    #[test]
    fn decoding_any_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(record) = RecordView::parse(&bytes) {
            for body in record.bodies().flatten() {
                let _ = (body.event_with_identity(), body.brief());
            }
        }
        let _ = record::decode_body(&bytes);
    }
}

#[test]
fn a_credential_of_a_project_stamps_it_and_refuses_another() {
    let (scope, hasher) = (TenantScope::for_operator(TenantId::default_tenant()), PayloadHasher::new(&[7; 16]));
    let (limits, own) = (Limits::default(), Arc::from("web"));
    let bound = AdmissionContext { project: Some(&own), ..context(&scope, &limits, &hasher, NOW) };
    let admission = Admission::new(bound, 0);
    let check = |project: Option<&str>| {
        let candidate = Candidate { project: project.map(Cow::Borrowed), ..Candidate::default() };
        let checked = admission.check(&candidate, &mut AnyName, || "assigned".into());
        checked.map(|checked| checked.view().project.map(str::to_owned)).map_err(|why| why.code)
    };
    assert_eq!(check(None), Ok(Some("web".to_owned())));
    assert_eq!(check(Some("web")), Ok(Some("web".to_owned())));
    assert_eq!(check(Some("app")), Err(RejectCode::ProjectMismatch));
}

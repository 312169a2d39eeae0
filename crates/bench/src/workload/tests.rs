//! The load is valid, is what was asked for, and can be recounted from what the writer reports.

#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::collections::{BTreeMap, HashMap, HashSet};

use super::*;
use proptest::prelude::*;
use serde_json::Value;

const NOW: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

const MIX: Mix = Mix {
    customers: 10,
    whale: None,
    users: 50,
    endpoints: 6,
    models: 3,
    history_days: 0,
    duplicates: 0.0,
    personal: false,
    seed: 1,
};

fn writer(mix: Mix, stream: u16) -> EventWriter {
    EventWriter::new(Arc::new(Workload::new(0xab, mix, NOW)), stream)
}

fn events_of(writer: &mut EventWriter, events: u64) -> Vec<Value> {
    let mut body = Vec::new();
    writer.write_body(&mut body, events, NOW);
    match serde_json::from_slice(&body).unwrap() {
        Value::Array(events) => events,
        single => vec![single],
    }
}

proptest! {
    #[test]
    fn every_body_is_json_in_the_documented_form(
        events in 1_u64..40, customers in 1_u32..5, whale in proptest::option::of(0.0..=1.0), history_days in 0_u32..3,
        duplicates in 0.0..0.9, seed: u64
    ) {
        let mix = Mix { customers, whale, history_days, duplicates, seed, ..MIX };
        let parsed = events_of(&mut writer(mix, 3), events);
        prop_assert_eq!(parsed.len() as u64, events);
        for event in &parsed {
            prop_assert_eq!(event["eventId"].as_str().unwrap().len(), 36);
            let time = Timestamp::parse(event["timestamp"].as_str().unwrap()).unwrap();
            prop_assert!(time <= NOW && time > NOW.plus_micros(-(i64::from(history_days) * MICROS_PER_DAY) - 1));
            prop_assert!(event["customerId"].as_str().unwrap().starts_with("bench-000000ab-"));
            prop_assert!(event["userId"].is_string() && event["apiEndpoint"].as_str().unwrap().starts_with("/api/"));
            let usage = &event["metadata"];
            let sum = usage["inputTokens"].as_u64().unwrap() + usage["outputTokens"].as_u64().unwrap();
            prop_assert_eq!(usage["tokens"].as_u64().unwrap(), sum);
            prop_assert!(usage["model"].is_string() && usage["latencyMs"].is_u64());
        }
    }

    /// What the count check rests on: `fresh` names each distinct event's customer exactly once.
    #[test]
    fn fresh_counts_each_distinct_event_once(batches in 1_usize..20, duplicates in 0.0..0.9, seed: u64) {
        let mut writer = writer(Mix { duplicates, seed, ..MIX }, 1);
        let mut reported: BTreeMap<String, usize> = BTreeMap::new();
        let mut sent: HashMap<String, Value> = HashMap::new();
        for _ in 0..batches {
            for event in events_of(&mut writer, 30) {
                let id = event["eventId"].as_str().unwrap().to_owned();
                let first = sent.entry(id).or_insert_with(|| event.clone());
                prop_assert_eq!(&*first, &event, "a repetition is identical");
            }
            for customer in writer.fresh() {
                *reported.entry(writer.workload.customers()[to_index(*customer)].clone()).or_default() += 1;
            }
        }
        let mut distinct: BTreeMap<String, usize> = BTreeMap::new();
        for event in sent.values() {
            *distinct.entry(event["customerId"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        prop_assert_eq!(reported, distinct);
    }
}

#[test]
fn streams_of_a_run_share_no_event_id() {
    let mut ids = HashSet::new();
    for stream in [0, 1, 2, u16::MAX] {
        for event in events_of(&mut writer(MIX, stream), 500) {
            assert!(ids.insert(event["eventId"].to_string()));
        }
    }
}

#[test]
fn the_last_id_is_the_last_fresh_event() {
    let mut writer = writer(MIX, 2);
    let events = events_of(&mut writer, 7);
    assert_eq!(events[6]["eventId"].as_str(), writer.last_id().as_deref());
    assert_eq!(EventWriter::new(Arc::clone(&writer.workload), 9).last_id(), None);
}

#[test]
fn shares_come_out_as_asked() {
    for (whale, first, others) in [(None, 0.10, 0.10), (Some(0.5), 0.5, 0.5 / 9.0), (Some(0.9), 0.9, 0.1 / 9.0)] {
        let mut writer = writer(Mix { whale, ..MIX }, 0);
        events_of(&mut writer, 50_000);
        let mut counts = [0.0_f64; 10];
        for customer in writer.fresh() {
            counts[to_index(*customer)] += 1.0 / 50_000.0;
        }
        assert!((counts[0] - first).abs() < 0.01, "{counts:?}");
        assert!(counts[1..].iter().all(|count| (count - others).abs() < 0.01), "{counts:?}");
    }
}

#[test]
fn the_share_of_repetitions_comes_out_as_asked() {
    let mut writer = writer(Mix { duplicates: 0.2, ..MIX }, 0);
    events_of(&mut writer, 50_000);
    let repeated = 50_000 - writer.fresh().len();
    assert!((9_500..10_500).contains(&repeated), "{repeated}");
}

#[test]
fn names_are_distinct_and_as_many_as_asked() {
    for count in [1, 3, 4, 7] {
        let names: HashSet<String> = names(&MODELS, count, "model-").into_iter().collect();
        assert_eq!(names.len(), to_index(count));
    }
}

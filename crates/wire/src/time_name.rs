//! Tells names that look like a time from others, so that a message can name them. Decides nothing: a
//! member or column of such a name is never read as the time.

/// Words that say so wherever they stand in a name.
const WORDS: [&str; 17] = [
    "time",
    "timestamp",
    "ts",
    "tstamp",
    "date",
    "datetime",
    "dt",
    "created",
    "occurred",
    "happened",
    "recorded",
    "logged",
    "when",
    "day",
    "epoch",
    "moment",
    "instant",
];
/// Ends of names that are written as one word: `createdat`, `eventdate`, `servertimestamp`.
const ENDS: [&str; 8] =
    ["timestamp", "datetime", "createdat", "occurredat", "happenedat", "recordedat", "loggedat", "eventdate"];
/// Words beside which a time is how long something took, or says where.
const DURATIONS: [&str; 17] = [
    "response",
    "elapsed",
    "processing",
    "duration",
    "latency",
    "run",
    "load",
    "wait",
    "queue",
    "cpu",
    "total",
    "spent",
    "zone",
    "out",
    "up",
    "of",
    "to",
];

/// Whether `name` looks like that of a time.
pub(crate) fn is_time_like(name: &str) -> bool {
    let words = words(name);
    let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    let folded = words.concat();
    let is_at = words.len() > 1 && words.last().is_some_and(|word| word == "at");
    !has(&DURATIONS) && (is_at || has(&WORDS) || ENDS.iter().any(|end| folded.ends_with(end)))
}

/// The words of a name, in lower case: they end where another sign than a letter or digit stands, and
/// before a capital letter behind a small one.
fn words(name: &str) -> Vec<String> {
    let (mut words, mut small) = (vec![String::new()], false);
    for c in name.chars() {
        if !c.is_alphanumeric() || (small && c.is_uppercase()) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
        small = c.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_times_are_told_from_names_of_other_things() {
        for name in [
            "created_at",
            "createdAt",
            "CreatedAt",
            "createdat",
            "date",
            "Date",
            "datetime",
            "occurred",
            "$timestamp",
            "properties.time",
            "event_date",
            "eventDate",
            "start time",
            "Start Time",
            "when",
            "sent_at",
            "_ts",
            "dt",
            "updated-at",
            "log.timestamp",
            "epoch_ms",
            "day",
        ] {
            assert!(is_time_like(name), "{name}");
        }
        for name in [
            "",
            "candidate",
            "update",
            "timezone",
            "time_zone",
            "timeout",
            "runtime",
            "response_time",
            "elapsedTime",
            "latency_ms",
            "at",
            "chat",
            "format",
            "status",
            "data",
            "attempts",
            "times_up",
            "country",
            "amount",
        ] {
            assert!(!is_time_like(name), "{name}");
        }
    }
}

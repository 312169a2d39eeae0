//! Writes an event as a line of JSON, as `POST /v1/events` takes it, under the first name of each field.

use domain::event::{Candidate, ProviderTokens, TimeText, split_cloud_event_id};

/// Appends `candidate` with the id `id` and an end of line.
pub(crate) fn push_event(out: &mut Vec<u8>, candidate: &Candidate<'_>, id: &str) {
    let Candidate { source, time, kind, tenant, project, customer, user, endpoint, properties, usage, .. } = candidate;
    // The id of an export holds the source.
    let stored = candidate.stored_scheme.and_then(|_| split_cloud_event_id(id));
    let (source, id) = match &stored {
        Some((source, id)) => (Some(source.as_str()), id.as_str()),
        None => (source.as_deref(), id),
    };
    out.extend_from_slice(b"{\"id\":");
    push_text(out, id);
    // Without an id of its own it is known by its content alone, wherever it is imported.
    if let Some(source) = source.filter(|_| candidate.id.is_some()) {
        push_member(out, "specversion", "1.0");
        push_member(out, "source", source);
    }
    match time {
        Some(TimeText::Text(text)) => push_member(out, "time", text),
        Some(TimeText::Number(number)) => push_raw(out, "time", number),
        None => {}
    }
    let texts = [
        ("type", kind),
        ("tenant", tenant),
        ("project", project),
        ("customer", customer),
        ("user", user),
        ("endpoint", endpoint),
        ("model", &usage.model),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            push_member(out, name, text);
        }
    }
    let numbers = [
        ("tokens", &usage.tokens),
        ("inputTokens", &usage.input_tokens),
        ("outputTokens", &usage.output_tokens),
        ("latencyMs", &usage.latency_ms),
        ("cacheReadTokens", &usage.cache_read_tokens),
        ("cacheWriteTokens", &usage.cache_write_tokens),
        ("reasoningTokens", &usage.reasoning_tokens),
    ];
    for (name, number) in numbers {
        match number.as_deref() {
            Some(number) if serde_json::from_str::<serde_json::Number>(number).is_ok() => push_raw(out, name, number),
            // No number of JSON: the server says so.
            Some(other) => push_member(out, name, other),
            None => {}
        }
    }
    if let Some(tokens) = candidate.provider.as_ref().filter(|tokens| tokens.beside) {
        push_raw(out, "usage", &usage_object(tokens));
    }
    if let Some(properties) = properties {
        // A line break in it would end the line; between the tokens of JSON a space says the same.
        let line: String = properties.chars().map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }).collect();
        push_raw(out, "properties", &line);
    }
    out.extend_from_slice(b"}\n");
}

/// The tokens as a usage object, which is read as what it was written from.
fn usage_object(tokens: &ProviderTokens) -> String {
    let ProviderTokens { input, output, cache_read, cache_write, reasoning, .. } = *tokens;
    let part = |name: &str, tokens: Option<u64>| tokens.map(|tokens| format!("\"{name}\":{tokens}"));
    let join = |parts: Vec<Option<String>>| parts.into_iter().flatten().collect::<Vec<_>>().join(",");
    let details = |name: &str, parts: Vec<Option<String>>| {
        let parts = join(parts);
        (!parts.is_empty()).then(|| format!("\"{name}\":{{{parts}}}"))
    };
    let cached = vec![part("cached_tokens", cache_read), part("cache_write_tokens", cache_write)];
    let members = join(vec![
        part("prompt_tokens", input),
        part("completion_tokens", output),
        details("prompt_tokens_details", cached),
        details("completion_tokens_details", vec![part("reasoning_tokens", reasoning)]),
    ]);
    format!("{{{members}}}")
}

fn push_member(out: &mut Vec<u8>, name: &str, text: &str) {
    push_name(out, name);
    push_text(out, text);
}

fn push_raw(out: &mut Vec<u8>, name: &str, json: &str) {
    push_name(out, name);
    out.extend_from_slice(json.as_bytes());
}

fn push_name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    // Writing to memory cannot fail, nor can a text.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test may panic")]

    use domain::limits::Limits;

    use super::*;

    #[test]
    fn what_is_written_reads_as_the_same_event() {
        for json in [
            r#"{"id":"a\"b","ts":1767225600.5,"type":"t","tenant":"x","project":"p","customer":7,"user":"\u00e9"}"#,
            r#"{"id":"e","time":"2026-01-01","endpoint":"/a","properties":{"tokens":5,"model":"m","latencyMs":1.5}}"#,
            r#"{"id":"e","inputTokens":1,"outputTokens":2e1,"tokens":3}"#,
            r#"{"id":"e","specversion":"1.0","source":"/a","subject":"c","data":{"user":"u"}}"#,
            r#"{"id":"e","usage":{"prompt_tokens":9,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4}}}"#,
            r#"{"id":"e","usage":{"promptTokenCount":9,"candidatesTokenCount":5,"thoughtsTokenCount":4}}"#,
            r#"{"id":"e","properties":{"usage":{"input_tokens":9,"output_tokens":5,"cache_read_input_tokens":4}}}"#,
            r#"{"id":"e","usage":{"candidatesTokenCount":5,"thoughtsTokenCount":4}}"#,
            r#"{"id":"e","usage":{"completion_tokens":5}}"#,
            r#"{"id":"e","cacheReadTokens":1,"inputTokens":5,"reasoningTokens":0}"#,
        ] {
            let limits = Limits::default();
            let candidate = wire::line(1, json.as_bytes(), &limits).unwrap().unwrap();
            let mut out = Vec::new();
            push_event(&mut out, &candidate, candidate.id.as_deref().unwrap());
            let again = wire::line(1, &out, &limits).unwrap().unwrap();
            assert_eq!(again, candidate, "{json}");
        }
    }

    #[test]
    fn i2_the_id_of_an_export_is_sent_as_the_source_and_the_id_that_it_holds() {
        let (limits, mut out) = (Limits::default(), Vec::new());
        let exported = r#"{"event_id":"ce:a%23b#c%25d","customer":"c","id_scheme":"cloudevent"}"#;
        let candidate = wire::line(1, exported.as_bytes(), &limits).unwrap().unwrap();
        push_event(&mut out, &candidate, candidate.id.as_deref().unwrap());
        let sent = r#"{"id":"c%d","specversion":"1.0","source":"a#b","customer":"c"}"#;
        assert_eq!(String::from_utf8(out).unwrap(), format!("{sent}\n"));
    }
}

//! The shapes in which tools of others send usage by protocols of their own, and the objects of a
//! stream. Native events are never read by these: there, each of their names may mean something else.

use super::members::{Members, Unreadable};
use super::shapes::read_members;
use super::tokens::{ProviderUsage, Reading, Said, added};

/// Reads the properties of PostHog's `$ai_generation` and `$ai_embedding`.
pub(crate) fn posthog(properties: &str) -> Reading {
    read(properties, &["$ai_input_tokens", "$ai_output_tokens"], |members| {
        let provider = members.text("$ai_provider").unwrap_or_default().to_ascii_lowercase();
        let cache_read = members.count(&["$ai_cache_read_input_tokens"])?;
        let cache_write = members.count(&["$ai_cache_creation_input_tokens"])?;
        let reasoning = members.count(&["$ai_reasoning_tokens"])?;
        let mut said = Said {
            input: members.count(&["$ai_input_tokens"])?,
            cache_read,
            cache_write,
            output: members.count(&["$ai_output_tokens"])?,
            reasoning,
            total: members.count(&["$ai_total_tokens"])?,
        };
        let is_beside = members.truth("$ai_cache_reporting_exclusive")?;
        if is_beside.unwrap_or_else(|| provider.contains("anthropic")) {
            said.input = added([said.input, cache_read, cache_write]);
        }
        if provider.contains("gemini") {
            said.output = added([said.output, reasoning]);
            said.total = None;
        }
        said.settle(["$ai_input_tokens", "$ai_output_tokens"])
    })
}

/// Reads the object `_llm` of an event of Polar.
pub(crate) fn polar(object: &str) -> Reading {
    read(object, &["input_tokens", "output_tokens"], |members| {
        let said = Said {
            input: members.count(&["input_tokens"])?,
            cache_read: members.count(&["cached_input_tokens"])?,
            output: members.count(&["output_tokens"])?,
            ..Said::default()
        };
        said.settle(["input_tokens", "output_tokens"])
    })
}

/// Reads the attributes of a span of the conventions of OpenTelemetry for generative AI, as a JSON
/// object. The input holds what was cached; when that is more than the input, the instrumentation
/// counts it beside: then it is added, as a conflict.
pub(crate) fn span(attributes: &str) -> Reading {
    let input = ["gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"];
    let output = ["gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"];
    let told_by = [input, output].concat();
    read(attributes, &told_by, |members| {
        let cache_read = members.count(&["gen_ai.usage.cache_read.input_tokens"])?;
        let cache_write =
            members.count(&["gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens"])?;
        let mut said = Said {
            input: members.count(&input)?,
            cache_read,
            cache_write,
            output: members.count(&output)?,
            reasoning: members.count(&["gen_ai.usage.reasoning.output_tokens"])?,
            total: None,
        };
        let is_beside = added([cache_read, cache_write]).unwrap_or(0) > said.input.unwrap_or(0);
        if is_beside {
            said.input = added([said.input, cache_read, cache_write]);
        }
        let usage = said.settle([input[0], output[0]])?;
        Ok(ProviderUsage { conflict: usage.conflict || is_beside, ..usage })
    })
}

/// Reads the usage objects of a stream in their order. Each repeats or replaces what those before it
/// say, and is never added.
pub(crate) fn stream<'a>(objects: impl IntoIterator<Item = &'a str>, provider: Option<&str>) -> Reading {
    let mut members = Members::default();
    objects.into_iter().filter_map(Members::of).for_each(|later| members.follow(later));
    read_members(&members, provider)
}

fn read(
    object: &str,
    told_by: &[&str],
    read: impl FnOnce(&Members<'_>) -> Result<ProviderUsage, Unreadable>,
) -> Reading {
    match Members::of(object) {
        Some(members) if members.has_any(told_by) => read(&members).into(),
        _ => Reading::NotUsage,
    }
}

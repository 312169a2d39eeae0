//! The shapes in which providers themselves return usage, and their compatible imitators. These are read
//! wherever a usage object may stand. Details by modality, predictions and tools are never read: they
//! are inside the totals.

use std::fmt;

use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::members::{Members, Unreadable, is_creation};
use super::tokens::{ProviderUsage, Reading, Said, added};
use crate::json::JsonKind;

const PROMPT: &[&str] = &["promptTokenCount", "prompt_token_count"];
const CANDIDATES: &[&str] =
    &["candidatesTokenCount", "candidates_token_count", "responseTokenCount", "response_token_count"];
const CACHE_READ: &[&str] = &["cache_read_input_tokens", "cache_read_tokens"];
/// The iterations of an answer that its own counts leave out.
const COMPACTION: &str = "compaction";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// OpenAI's chat completions and embeddings, and what is compatible with them.
    Chat,
    /// OpenAI's responses, and Anthropic's messages.
    InputOutput,
    /// Gemini's contents, also of its live sessions.
    Gemini,
    /// Gemini's interactions.
    Interactions,
}

/// How each shape is told, in the order in which an object with the marks of several is taken: by the
/// members of its input, or, when no shape has any, by others that no other shape has. Gemini leaves
/// out what is 0.
const TOLD_BY: [(Shape, &[&str], &[&str]); 4] = [
    (Shape::Chat, &["prompt_tokens"], &["completion_tokens"]),
    (Shape::InputOutput, &["input_tokens"], &["cache_read_input_tokens"]),
    (Shape::Gemini, PROMPT, CANDIDATES),
    (Shape::Interactions, &["total_input_tokens"], &[]),
];

/// Reads `object`, a JSON value whose syntax was checked; `provider` is who made it, as far as that is known.
pub(crate) fn read(object: &str, provider: Option<&str>) -> Reading {
    Members::of(object).map_or(Reading::NotUsage, |members| read_members(&members, provider))
}

/// Reads a usage object of these members, wherever they were found.
pub(crate) fn read_members(members: &Members<'_>, provider: Option<&str>) -> Reading {
    let read = match shape_of(members, provider) {
        None => return Reading::NotUsage,
        Some(Shape::Chat) => chat(members),
        Some(Shape::InputOutput) => with_compactions(members),
        Some(Shape::Gemini) => gemini(members),
        Some(Shape::Interactions) => interactions(members),
    };
    read.into()
}

fn shape_of(members: &Members<'_>, provider: Option<&str>) -> Option<Shape> {
    let mut told = TOLD_BY.iter().filter(|(_, by, _)| members.has_any(by)).map(|(shape, ..)| *shape);
    let Some(first) = told.next() else {
        let is_told = |shape, by| members.has_any(by) || (shape == Shape::InputOutput && members.has_creation());
        return TOLD_BY.iter().find(|(shape, _, by)| is_told(*shape, by)).map(|(shape, ..)| *shape);
    };
    let provider = provider.unwrap_or_default().to_ascii_lowercase();
    let is_its = |shape: &Shape| match shape {
        Shape::Chat => false,
        Shape::InputOutput => provider.contains("anthropic"),
        Shape::Gemini | Shape::Interactions => {
            ["gemini", "google", "vertex"].iter().any(|name| provider.contains(name))
        }
    };
    if is_its(&first) { Some(first) } else { told.find(is_its).or(Some(first)) }
}

fn chat(members: &Members<'_>) -> Result<ProviderUsage, Unreadable> {
    let prompt = members.object(&["prompt_tokens_details"])?;
    let completion = members.object(&["completion_tokens_details"])?;
    let mut said = Said {
        input: members.count(&["prompt_tokens", "input_tokens"])?,
        cache_read: prompt.count(&["cached_tokens"])?,
        cache_write: prompt.count(&["cache_write_tokens", "cache_creation_tokens"])?,
        output: members.count(&["completion_tokens", "output_tokens"])?,
        reasoning: completion.count(&["reasoning_tokens"])?,
        total: members.count(&["total_tokens"])?,
    };
    // Proxies write these beside a prompt that holds them already.
    if said.cache_read.is_none() {
        said.cache_read = members.count(&["prompt_cache_hit_tokens", "cache_read_input_tokens"])?;
    }
    if said.cache_write.is_none() {
        said.cache_write = creation(members)?;
    }
    said.settle(["prompt_tokens", "completion_tokens"])
}

/// Responses count what was cached inside of the input, messages beside it. Without either cache both
/// readings agree.
fn input_output(members: &Members<'_>) -> Result<ProviderUsage, Unreadable> {
    let is_beside = members.has("cache_read_input_tokens") || members.has_creation();
    let input = members.count(&["input_tokens"])?;
    let output_details = members.object(&["output_tokens_details", "output_token_details"])?;
    let mut said = Said {
        input,
        output: members.count(&["output_tokens", "completion_tokens"])?,
        reasoning: output_details.count(&["reasoning_tokens", "thinking_tokens"])?,
        total: members.count(&["total_tokens"])?,
        ..Said::default()
    };
    if is_beside {
        said.cache_read = members.count(CACHE_READ)?;
        said.cache_write = creation(members)?;
        said.input = added([input, said.cache_read, said.cache_write]);
    } else {
        let input_details = members.object(&["input_tokens_details", "input_token_details"])?;
        said.cache_read = input_details.count(&["cached_tokens"])?;
        said.cache_write = input_details.count(&["cache_write_tokens"])?;
    }
    let names = ["input_tokens", "output_tokens"].map(|name| members.unreadable(name).0);
    said.settle([&names[0], &names[1]])
}

/// What was written into a cache: in one number, by lifetime, or by lifetime without an object of its own.
fn creation(members: &Members<'_>) -> Result<Option<u64>, Unreadable> {
    let whole = members.count(&["cache_creation_input_tokens", "cache_creation_tokens"])?;
    if whole.is_some() {
        return Ok(whole);
    }
    let by_lifetime = members.object(&["cache_creation"])?.sum(|_| true)?;
    if by_lifetime.is_some() {
        return Ok(by_lifetime);
    }
    members.sum(|name| is_creation(name) && name != "cache_creation")
}

/// The counts of an answer and of the compactions it was made after, which those leave out.
fn with_compactions(members: &Members<'_>) -> Result<ProviderUsage, Unreadable> {
    let mut usage = input_output(members);
    // A number of iterations is none of ours, and says nothing of tokens.
    let Some(JsonKind::Array(text)) = members.get("iterations")? else { return usage };
    let add = |index: usize, element| {
        if let Ok(sum) = usage {
            usage = with_compaction(members, sum, &format!("iterations.{index}"), element);
        }
    };
    let mut json = serde_json::Deserializer::from_str(text);
    json.deserialize_seq(Objects(add)).map_err(|_| members.unreadable("iterations"))?;
    usage
}

fn with_compaction(
    members: &Members<'_>,
    usage: ProviderUsage,
    name: &str,
    iteration: &str,
) -> Result<ProviderUsage, Unreadable> {
    let iteration = members.inner(iteration, name);
    if iteration.text("type").as_deref() == Some(COMPACTION) {
        return usage.plus(input_output(&iteration)?, ["iterations", "iterations"]);
    }
    Ok(usage)
}

fn gemini(members: &Members<'_>) -> Result<ProviderUsage, Unreadable> {
    let prompt = members.count(PROMPT)?;
    let tools = members.count(&["toolUsePromptTokenCount", "tool_use_prompt_token_count"])?;
    let thoughts = members.count(&["thoughtsTokenCount", "thoughts_token_count"])?;
    let said = Said {
        input: added([prompt, tools]),
        cache_read: members.count(&["cachedContentTokenCount", "cached_content_token_count"])?,
        cache_write: None,
        output: added([members.count(CANDIDATES)?, thoughts]),
        reasoning: thoughts,
        // Thoughts always lie outside of the candidates.
        total: None,
    };
    said.settle(["promptTokenCount", "candidatesTokenCount"])
}

fn interactions(members: &Members<'_>) -> Result<ProviderUsage, Unreadable> {
    let tools = members.count(&["total_tool_use_tokens"])?;
    let said = Said {
        input: added([members.count(&["total_input_tokens"])?, tools]),
        cache_read: members.count(&["total_cached_tokens"])?,
        cache_write: None,
        output: members.count(&["total_output_tokens"])?,
        reasoning: members.count(&["total_thought_tokens"])?,
        total: members.count(&["total_tokens"])?,
    };
    said.settle(["total_input_tokens", "total_output_tokens"])
}

/// Shows the objects among the elements of an array, with their places.
struct Objects<F>(F);

impl<'de, F: FnMut(usize, &'de str)> Visitor<'de> for Objects<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        let mut index = 0;
        while let Some(element) = elements.next_element::<&'de RawValue>()? {
            if let JsonKind::Object(text) = JsonKind::of(element.get()) {
                (self.0)(index, text);
            }
            index += 1;
        }
        Ok(())
    }
}

//! Decides on what an event measured: counts of tokens, the latency, the model.

use super::text::optional;
use crate::event::{ProviderTokens, Usage, UsageText};
use crate::limits::{LATENCY_US_MAX, NAME_BYTES_MAX, TOKENS_MAX};
use crate::rejection::{RejectCode, Rejection};

/// What an event measured: what its own fields say, and for the rest what a provider said. Also whether they
/// contradict each other: a part had to be cut to its whole, or the whole is less than input and output; it stands.
pub(super) fn check_usage<'c>(
    text: &'c UsageText<'c>,
    provider: Option<&ProviderTokens>,
) -> Result<(Usage<'c>, bool), Rejection> {
    let input_tokens = count("inputTokens", text.input_tokens.as_deref())?.or(provider.and_then(|tokens| tokens.input));
    let output_tokens =
        count("outputTokens", text.output_tokens.as_deref())?.or(provider.and_then(|tokens| tokens.output));
    let sum = match (input_tokens, output_tokens) {
        (None, None) => None,
        (input, output) => Some(input.unwrap_or(0) + output.unwrap_or(0)),
    };
    let tokens = count("tokens", text.tokens.as_deref())?.or(sum);
    let is_less = tokens < sum;
    let latency_us = latency_us(text.latency_ms.as_deref())?;
    let model = optional("model", text.model.as_deref(), NAME_BYTES_MAX)?;
    let part =
        |own: Option<u64>, of_provider: fn(&ProviderTokens) -> Option<u64>| own.or(provider.and_then(of_provider));
    let cache_read = part(count("cacheReadTokens", text.cache_read_tokens.as_deref())?, |tokens| tokens.cache_read);
    let cache_write = part(count("cacheWriteTokens", text.cache_write_tokens.as_deref())?, |tokens| tokens.cache_write);
    let reasoning = part(count("reasoningTokens", text.reasoning_tokens.as_deref())?, |tokens| tokens.reasoning);
    let (input, output) = (input_tokens.unwrap_or(0), output_tokens.unwrap_or(0));
    let cache_read_tokens = cache_read.map(|tokens| tokens.min(input));
    let cache_write_tokens = cache_write.map(|tokens| tokens.min(input - cache_read_tokens.unwrap_or(0)));
    let reasoning_tokens = reasoning.map(|tokens| tokens.min(output));
    let kept = (cache_read_tokens, cache_write_tokens, reasoning_tokens);
    let contradicts = is_less || (cache_read, cache_write, reasoning) != kept;
    let usage = Usage {
        tokens,
        input_tokens,
        output_tokens,
        latency_us,
        model,
        cache_read_tokens,
        cache_write_tokens,
        reasoning_tokens,
    };
    Ok((usage, contradicts))
}

/// What the release read that made hashes by `HashRule::EncodedBody`; it took no event that it could not read.
pub(super) fn first_usage<'c>(text: &'c UsageText<'c>) -> Usage<'c> {
    let count = |text: Option<&str>| count("", text).ok().flatten();
    let input_tokens = count(text.input_tokens.as_deref());
    let output_tokens = count(text.output_tokens.as_deref());
    let sum = input_tokens.or(output_tokens).map(|_| input_tokens.unwrap_or(0) + output_tokens.unwrap_or(0));
    Usage {
        tokens: count(text.tokens.as_deref()).or(sum),
        input_tokens,
        output_tokens,
        latency_us: latency_us(text.latency_ms.as_deref()).ok().flatten(),
        model: text.model.as_deref(),
        ..Usage::default()
    }
}

fn count(field: &str, number: Option<&str>) -> Result<Option<u64>, Rejection> {
    let Some(number) = number else { return Ok(None) };
    match whole(number) {
        Some(value) if value <= TOKENS_MAX => Ok(Some(value)),
        _ => {
            let message = format!("must be a whole number from 0 to {TOKENS_MAX}");
            Err(Rejection::of(RejectCode::InvalidNumber, field, message))
        }
    }
}

/// A whole number as digits, or in another form of JSON's (`12.0`, `1.2e1`); `None` also when it is
/// beyond the limit. Nothing goes through a float, so a fraction is never lost by rounding.
pub fn whole(text: &str) -> Option<u64> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (is_negative, digits) = mantissa.strip_prefix('-').map_or((false, mantissa), |digits| (true, digits));
    let (before, behind) = digits.split_once('.').unwrap_or((digits, "0"));
    if before.is_empty() || behind.is_empty() {
        return None;
    }
    // How many digits stand before the point, once the exponent has moved it.
    let point = i64::try_from(before.len()).ok()?.checked_add(i64::from(exponent))?;
    let (mut number, mut at) = (0_u64, 0_i64);
    for digit in before.chars().chain(behind.chars()) {
        let digit = u64::from(digit.to_digit(10)?);
        if at < point {
            number = shifted(number)? + digit;
        } else if digit != 0 {
            return None;
        }
        at += 1;
    }
    while at < point && number != 0 {
        number = shifted(number)?;
        at += 1;
    }
    (!is_negative || number == 0).then_some(number)
}

fn shifted(number: u64) -> Option<u64> {
    (number <= TOKENS_MAX).then_some(number * 10)
}

fn latency_us(number: Option<&str>) -> Result<Option<u64>, Rejection> {
    let Some(number) = number else { return Ok(None) };
    let micros = number.parse::<f64>().map_or(f64::NAN, |ms| (ms * 1_000.0).round());
    #[expect(clippy::cast_precision_loss, reason = "the limit is a power of ten that f64 holds")]
    if (0.0..=LATENCY_US_MAX as f64).contains(&micros) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded by the comparison")]
        return Ok(Some(micros as u64));
    }
    let message = format!("must be a number of milliseconds from 0 to {}", LATENCY_US_MAX / 1_000);
    Err(Rejection::of(RejectCode::InvalidNumber, "latencyMs", message))
}

/// Whether `text` is a count that an event may carry.
pub fn is_count(text: &str) -> bool {
    count("", Some(text)).is_ok()
}

/// Whether `text` is a number of milliseconds that an event may carry as its latency.
pub fn is_latency(text: &str) -> bool {
    latency_us(Some(text)).is_ok()
}

/// Whether `text` may be the name of a model.
pub fn is_model(text: &str) -> bool {
    optional("", Some(text), NAME_BYTES_MAX).is_ok()
}

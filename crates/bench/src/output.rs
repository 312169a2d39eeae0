//! What a benchmark prints: text for people as it goes, or one JSON document at the end.

use std::fmt::Display;
use std::io::{self, Write};

use anyhow::Context;
use serde::Serialize;

/// Standard output, in one of the two forms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    json: bool,
}

impl Output {
    /// Prints JSON only when `json`, else text only.
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints a line for people.
    pub(super) fn line(self, text: impl Display) -> anyhow::Result<()> {
        if self.json { Ok(()) } else { print(text) }
    }

    /// Prints the result: `text` for people, or `value` for programs.
    pub(super) fn result(self, text: impl Display, value: &impl Serialize) -> anyhow::Result<()> {
        if self.json {
            print(serde_json::to_string_pretty(value).context("failed to write JSON")?)
        } else {
            print(text)
        }
    }
}

fn print(text: impl Display) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).context("failed to print")
}

//! The check of an access token against the bare verification under it.

use anyhow::Context;
use serde::Serialize;

use super::pairs::{Compared, Pairs};
use crate::inside::{Inside, TokenRound};

/// Rounds in which the ways take turns.
const ROUNDS: u32 = 100;

/// What checks of tokens took.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Tokens {
    /// The bare verification, then the check of a token that is not remembered; nanoseconds.
    pub(super) anew: Compared,
    /// The bare verification, then the check of a token that is remembered; nanoseconds.
    pub(super) remembered: Compared,
}

/// Has the program check tokens.
pub(super) fn measure(inside: &impl Inside) -> anyhow::Result<Tokens> {
    let (mut anew, mut remembered) = (Pairs::default(), Pairs::default());
    for TokenRound { anew_ns, bare_ns, remembered_ns } in inside.time_tokens(ROUNDS)? {
        anew.add(bare_ns, anew_ns);
        remembered.add(bare_ns, remembered_ns);
    }
    let compared = |pairs: Pairs| pairs.compared().context("no token was checked");
    Ok(Tokens { anew: compared(anew)?, remembered: compared(remembered)? })
}

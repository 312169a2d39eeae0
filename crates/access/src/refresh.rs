//! Refresh tokens: `nmr_<session id>_<generation>_<code>`. The code is computed under the master key, so any
//! generation of any session is known for genuine without being kept: a genuine one that is older than the
//! session's own is a token that was used before, and any other text is nothing. Decides neither whether the
//! session exists nor whether it still runs.

use subtle::ConstantTimeEq;

use crate::master_key::MasterKey;
use crate::text::{base64url, decimal, from_base64url};

const PREFIX: &str = "nmr_";
/// Characters of the code: 32 bytes in base64.
const CODE_CHARS: usize = 43;
/// Longest session id, in bytes.
const SESSION_ID_BYTES_MAX: usize = 64;

/// What a genuine refresh token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshToken<'a> {
    /// The session it belongs to.
    pub session_id: &'a str,
    /// How many tokens of the session came before it.
    pub generation: u64,
}

/// The id cannot stand in a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a session id has 1 to {SESSION_ID_BYTES_MAX} letters, digits or hyphens")]
pub struct InvalidSessionId;

/// The refresh token of one generation of a session.
///
/// # Errors
/// [`InvalidSessionId`] when the id has other characters than letters, digits and hyphens, none or too many.
pub fn compose(master: &MasterKey, session_id: &str, generation: u64) -> Result<String, InvalidSessionId> {
    if !is_session_id(session_id) {
        return Err(InvalidSessionId);
    }
    let code = base64url(&master.refresh_mac(session_id, generation));
    Ok(format!("{PREFIX}{session_id}_{generation}_{code}"))
}

/// What the token says, if this installation made it.
pub fn parse<'a>(master: &MasterKey, text: &'a str) -> Option<RefreshToken<'a>> {
    let rest = text.strip_prefix(PREFIX)?;
    // The code may have the separator in it: it is told by its length.
    let (rest, code) = rest.split_at_checked(rest.len().checked_sub(CODE_CHARS)?)?;
    let (session_id, generation) = rest.strip_suffix('_')?.rsplit_once('_')?;
    if !is_session_id(session_id) {
        return None;
    }
    let (generation, code) = (decimal(generation)?, from_base64url::<32>(code)?);
    let is_genuine: bool = master.refresh_mac(session_id, generation).ct_eq(&code).into();
    is_genuine.then_some(RefreshToken { session_id, generation })
}

fn is_session_id(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=SESSION_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]

    use proptest::prelude::*;

    use super::*;

    fn master(digit: char) -> MasterKey {
        MasterKey::parse(&digit.to_string().repeat(64)).unwrap()
    }

    #[test]
    fn every_generation_of_every_session_is_known_for_genuine() {
        let master = master('5');
        for session_id in ["a", "01JD-x9", &"z".repeat(64)] {
            for generation in (0..300).chain([u64::MAX]) {
                let text = compose(&master, session_id, generation).unwrap();
                assert_eq!(parse(&master, &text), Some(RefreshToken { session_id, generation }), "{text}");
            }
        }
    }

    #[test]
    fn what_another_key_made_or_anyone_changed_is_nothing() {
        let master_key = master('5');
        let text = compose(&master_key, "s1", 7).unwrap();
        assert_eq!(parse(&master('6'), &text), None);
        for at in 0..text.len() {
            let other = if text.as_bytes()[at] == b'1' { "2" } else { "1" };
            let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            assert_eq!(parse(&master_key, &changed), None, "{changed}");
            assert_eq!(parse(&master_key, &text[..at]), None);
        }
        let code = &text[text.len() - CODE_CHARS..];
        for changed in [
            format!("nmr_s1_07_{code}"),
            format!("nmr_s1_+7_{code}"),
            format!("nmr_s1_7_{code}="),
            format!(" {text}"),
            format!("{text}\n"),
            format!("nmr__7_{code}"),
            format!("nmr_{}_7_{code}", "s".repeat(65)),
            String::new(),
            "é".repeat(40),
        ] {
            assert_eq!(parse(&master_key, &changed), None, "{changed}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_nothing(text in "(nmr_)?\\PC{0,80}", id in "[a-zA-Z0-9-]{1,64}", generation: u64) {
            prop_assert_eq!(parse(&master('5'), &text), None);
            let made = compose(&master('5'), &id, generation).unwrap();
            prop_assert_eq!(parse(&master('5'), &made), Some(RefreshToken { session_id: &id, generation }));
        }
    }

    #[test]
    fn ids_that_would_be_read_otherwise_are_refused() {
        for id in ["", "a_b", "a b", "é", &"z".repeat(65)] {
            assert_eq!(compose(&master('5'), id, 0), Err(InvalidSessionId), "{id}");
        }
    }
}

//! A hash of what a client wrote for one event, to tell a retry from another event under the same id.
//! Each hash says by which rule it was made, so that a retry of an event that an earlier release has
//! taken is compared as that release would have compared it.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::event::{Candidate, ProviderTokens, TimeText, UsageText};

/// How a payload hash was made. Its number is part of the formats that hold one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum HashRule {
    /// Over the event's body in a record of format 1, with a key that is the same everywhere.
    EncodedBody = 0,
    /// Over the fields as the client wrote them, with the folder's key.
    Written = 1,
    /// Over the decoded body of a whole request, with the folder's key. No event has such a hash.
    RequestBody = 2,
    /// As [`HashRule::Written`], and then under a key that is not in the folder: the event holds encrypted values,
    /// which nobody may guess by their hash.
    Sealed = 3,
    /// As [`HashRule::RequestBody`], and then under such a key.
    SealedRequestBody = 4,
    /// Nothing is left to be compared: the event was erased. In place of a hash may stand whose it was.
    Erased = 5,
    /// As [`HashRule::Erased`], of an event that was taken with a hash by [`HashRule::EncodedBody`]. Nothing tells it from
    /// a `CloudEvent` any more whose own id is the same.
    ErasedFirst = 6,
}

impl HashRule {
    /// The rule with this number.
    pub const fn of_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::EncodedBody),
            1 => Some(Self::Written),
            2 => Some(Self::RequestBody),
            3 => Some(Self::Sealed),
            4 => Some(Self::SealedRequestBody),
            5 => Some(Self::Erased),
            6 => Some(Self::ErasedFirst),
            _ => None,
        }
    }

    /// Its number.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Whether nothing but that is known of the event.
    pub const fn is_erased(self) -> bool {
        matches!(self, Self::Erased | Self::ErasedFirst)
    }

    /// Whether it hashes whole requests, and no events.
    pub const fn is_of_requests(self) -> bool {
        matches!(self, Self::RequestBody | Self::SealedRequestBody)
    }
}

/// A hash of what a client wrote. Only hashes of one rule can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PayloadHash {
    /// How it was made.
    pub rule: HashRule,
    /// The hash.
    pub hash: u64,
}

impl PayloadHash {
    /// What is kept of an event that was erased.
    pub const ERASED: Self = Self { rule: HashRule::Erased, hash: 0 };

    /// What is kept of the event with this hash when it is erased.
    #[must_use]
    pub const fn erased(self) -> Self {
        match self.rule {
            HashRule::EncodedBody | HashRule::ErasedFirst => Self { rule: HashRule::ErasedFirst, hash: 0 },
            _ => Self::ERASED,
        }
    }

    /// Whether an earlier release that saw an id with this hash saw the event for which it would have made `former`: the
    /// same one, or one that was erased, of which nothing else is left.
    pub fn is_of_former(self, former: Self) -> bool {
        self == former || self.rule == HashRule::ErasedFirst
    }

    /// Whether the two are certainly of different payloads. Hashes of different rules tell nothing.
    pub fn contradicts(self, other: Self) -> bool {
        self.rule == other.rule && self.hash != other.hash
    }
}

/// Hashes payloads by [`HashRule::Written`] with the secret of one folder.
#[derive(Debug, Clone, Copy)]
pub struct PayloadHasher {
    keyed: SipHasher13,
}

impl PayloadHasher {
    /// A hasher with this secret.
    pub fn new(key: &[u8; 16]) -> Self {
        let mut keyed = SipHasher13::new_with_key(key);
        keyed.write(b"payload\0");
        Self { keyed }
    }

    /// The hash of all that `candidate` says but its id and tenant.
    pub fn written(&self, candidate: &Candidate<'_>) -> PayloadHash {
        let mut keyed = self.keyed;
        let (as_number, time) = match &candidate.time {
            None => (false, None),
            Some(TimeText::Text(text)) => (false, Some(text)),
            Some(TimeText::Number(number)) => (true, Some(number)),
        };
        let UsageText {
            tokens,
            input_tokens,
            output_tokens,
            latency_ms,
            model,
            cache_read_tokens,
            cache_write_tokens,
            reasoning_tokens,
        } = &candidate.usage;
        let fields = [
            time,
            candidate.kind.as_ref(),
            candidate.project.as_ref(),
            candidate.customer.as_ref(),
            candidate.user.as_ref(),
            candidate.endpoint.as_ref(),
            candidate.properties.as_ref(),
            tokens.as_ref(),
            input_tokens.as_ref(),
            output_tokens.as_ref(),
            latency_ms.as_ref(),
            model.as_ref(),
            cache_read_tokens.as_ref(),
            cache_write_tokens.as_ref(),
            reasoning_tokens.as_ref(),
        ];
        keyed.write_u8(u8::from(as_number));
        for (number, text) in (0_u8..).zip(fields) {
            let Some(text) = text else { continue };
            keyed.write_u8(number);
            keyed.write_u64(text.len() as u64);
            keyed.write(text.as_bytes());
        }
        // In the properties it is part of their text, which says more than what was read from it.
        if let Some(provider) = candidate.provider.as_deref().filter(|provider| provider.beside) {
            let ProviderTokens { input, output, cache_read, cache_write, reasoning, .. } = *provider;
            for part in [input, output, cache_read, cache_write, reasoning] {
                keyed.write_u8(u8::from(part.is_some()));
                keyed.write_u64(part.unwrap_or(0));
            }
        }
        PayloadHash { rule: HashRule::Written, hash: keyed.finish() }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn every_field_and_the_key_count_but_not_the_id() {
        let text = |text: &'static str| Some(Cow::Borrowed(text));
        let whole = Candidate {
            id: text("e1"),
            time: Some(TimeText::Text(Cow::Borrowed("1"))),
            customer: text("a"),
            ..Candidate::default()
        };
        let hash = |candidate: &Candidate<'_>| PayloadHasher::new(&[7; 16]).written(candidate);
        assert_eq!(hash(&whole), hash(&Candidate { id: text("e2"), ..whole.clone() }));
        for other in [
            Candidate { time: None, ..whole.clone() },
            Candidate { time: Some(TimeText::Number(Cow::Borrowed("1"))), ..whole.clone() },
            Candidate { customer: None, user: text("a"), ..whole.clone() },
            Candidate { usage: UsageText { reasoning_tokens: text("a"), ..UsageText::default() }, ..whole.clone() },
        ] {
            assert_ne!(hash(&whole), hash(&other), "{other:?}");
        }
        assert_ne!(hash(&whole), PayloadHasher::new(&[8; 16]).written(&whole), "the secret counts");
    }

    #[test]
    fn an_erased_event_of_an_earlier_release_is_still_told_from_one_of_a_later() {
        let first = PayloadHash { rule: HashRule::EncodedBody, hash: 3 };
        let other = PayloadHash { hash: 4, ..first };
        assert!(first.is_of_former(first) && !other.is_of_former(first));
        let erased = first.erased();
        assert!(erased.is_of_former(first) && erased.is_of_former(other), "nothing tells which it was");
        assert_eq!(erased.erased(), erased);
        for rule in [HashRule::Written, HashRule::Sealed] {
            let erased = PayloadHash { rule, hash: 3 }.erased();
            assert_eq!(erased, PayloadHash::ERASED);
            assert!(!erased.is_of_former(first), "a CloudEvent was never known by that id");
        }
        for code in 0..=u8::MAX {
            assert!(HashRule::of_code(code).is_none_or(|rule| rule.code() == code));
        }
    }
}

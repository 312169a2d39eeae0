//! Follows the messages on an HTTP/1 connection from head to head, so that each head is judged before the
//! parser sees it. Takes bytes and says how many of them may pass; holds none of them, does no IO.
//! How chunks are read is how the parser behind reads them: what that would refuse ends the input here.

use super::head::{BodyLength, HeadRefusal, judge};

/// What may be done with the bytes that come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// So many bytes of a body pass.
    Body(usize),
    /// A head passes, of so many bytes.
    Head(usize),
    /// Nothing passes until more has come.
    More,
    /// Nothing passes until the request before is answered: what follows may be another protocol.
    Wait,
}

/// Why no further byte passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The request is refused.
    Head(HeadRefusal),
    /// The chunks of a body break off in the middle.
    Chunks,
}

/// Where a connection is.
#[derive(Debug)]
pub(super) struct Framing {
    place: Place,
    /// Whether the request under way asked for another protocol.
    wants_upgrade: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In a head, of which so many bytes were looked at.
    Head {
        looked_at: usize,
    },
    Body(u64),
    Chunks(Chunks),
    /// Another protocol: everything passes.
    Other,
    /// After a fault: nothing passes.
    Broken,
}

impl Framing {
    /// At the first byte of a connection.
    pub(super) fn new() -> Self {
        Self { place: Place::Head { looked_at: 0 }, wants_upgrade: false }
    }

    /// On a connection of which nothing is judged.
    pub(super) fn other() -> Self {
        Self { place: Place::Other, wants_upgrade: false }
    }

    pub(super) fn is_other(&self) -> bool {
        self.place == Place::Other
    }

    pub(super) fn is_broken(&self) -> bool {
        self.place == Place::Broken
    }

    /// Whether the request under way must be answered before anything passes.
    pub(super) fn is_waiting(&self) -> bool {
        self.wants_upgrade && matches!(self.place, Place::Head { .. })
    }

    /// Notes that the request which asked for another protocol is answered.
    pub(super) fn answered(&mut self, is_switched: bool) {
        self.wants_upgrade = false;
        if is_switched {
            self.place = Place::Other;
        }
    }

    /// Ends the input.
    pub(super) fn end(&mut self) {
        self.place = Place::Broken;
    }

    /// What may be done with `bytes`, which begin where the last step ended and, if it was [`Step::More`],
    /// are those of before and more.
    pub(super) fn step(&mut self, bytes: &[u8]) -> Result<Step, Fault> {
        let step = self.next(bytes);
        if step.is_err() {
            self.place = Place::Broken;
        }
        step
    }

    fn next(&mut self, bytes: &[u8]) -> Result<Step, Fault> {
        match &mut self.place {
            Place::Other => Ok(Step::Body(bytes.len())),
            Place::Broken => Ok(Step::More),
            Place::Head { .. } if self.wants_upgrade => Ok(Step::Wait),
            Place::Head { looked_at } => {
                let before = std::mem::replace(looked_at, bytes.len());
                // One that comes in many pieces is parsed when it may be whole, not with every piece.
                if before > 0 && !may_be_whole(bytes, before) {
                    return Ok(Step::More);
                }
                let Some(head) = judge(bytes).map_err(Fault::Head)? else { return Ok(Step::More) };
                self.wants_upgrade = head.wants_upgrade;
                self.place = match head.body {
                    BodyLength::Bytes(0) => Place::Head { looked_at: 0 },
                    BodyLength::Bytes(left) => Place::Body(left),
                    BodyLength::Chunked => Place::Chunks(Chunks::default()),
                };
                Ok(Step::Head(head.bytes))
            }
            Place::Body(left) => {
                let pass = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= pass as u64;
                if *left == 0 {
                    self.place = Place::Head { looked_at: 0 };
                }
                Ok(Step::Body(pass))
            }
            Place::Chunks(chunks) => {
                let (pass, is_over) = chunks.pass(bytes)?;
                if is_over {
                    self.place = Place::Head { looked_at: 0 };
                }
                Ok(Step::Body(pass))
            }
        }
    }
}

/// Whether an empty line, or the largest length, is among the bytes after the first `looked_at`.
fn may_be_whole(bytes: &[u8], looked_at: usize) -> bool {
    let new = &bytes[looked_at.saturating_sub(3)..];
    let ends = new.windows(2).any(|pair| pair == b"\n\n") || new.windows(3).any(|three| three == b"\n\r\n");
    ends || bytes.len() >= domain::limits::HEAD_BYTES_MAX
}

/// Where a body in chunks is (RFC 9112, section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Chunks {
    /// The length of the chunk, as far as it was read; then how much of it is to come.
    length: u64,
    part: Part,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Part {
    #[default]
    FirstDigit,
    Digits,
    /// White space after the length.
    Space,
    Extension,
    LengthEnd,
    Data,
    DataCr,
    DataLf,
    /// At the beginning of a line after the last chunk.
    TrailerStart,
    Trailer,
    TrailerLf,
    LastLf,
}

impl Chunks {
    /// How many of `bytes` belong to the body, and whether it ends with them.
    fn pass(&mut self, bytes: &[u8]) -> Result<(usize, bool), Fault> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if self.part == Part::Data {
                let pass = usize::try_from(self.length).unwrap_or(usize::MAX).min(bytes.len() - at);
                self.length -= pass as u64;
                at += pass;
                if self.length == 0 {
                    self.part = Part::DataCr;
                }
                continue;
            }
            at += 1;
            if self.is_end(*byte)? {
                return Ok((at, true));
            }
        }
        Ok((at, false))
    }

    fn is_end(&mut self, byte: u8) -> Result<bool, Fault> {
        self.part = match (self.part, byte) {
            (Part::FirstDigit | Part::Digits, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).unwrap_or(0);
                let length = self.length.checked_mul(16).and_then(|length| length.checked_add(digit.into()));
                self.length = length.ok_or(Fault::Chunks)?;
                Part::Digits
            }
            (Part::Digits | Part::Space, b' ' | b'\t') => Part::Space,
            (Part::Digits | Part::Space, b';') => Part::Extension,
            (Part::Digits | Part::Space | Part::Extension, b'\r') => Part::LengthEnd,
            (Part::Extension, b'\n') => return Err(Fault::Chunks),
            (Part::Extension, _) => Part::Extension,
            (Part::LengthEnd, b'\n') if self.length == 0 => Part::TrailerStart,
            (Part::LengthEnd, b'\n') => Part::Data,
            (Part::DataCr, b'\r') => Part::DataLf,
            (Part::DataLf, b'\n') => Part::FirstDigit,
            (Part::TrailerStart, b'\r') => Part::LastLf,
            (Part::Trailer, b'\r') => Part::TrailerLf,
            (Part::TrailerStart | Part::Trailer, _) => Part::Trailer,
            (Part::TrailerLf, b'\n') => Part::TrailerStart,
            (Part::LastLf, b'\n') => return Ok(true),
            _ => return Err(Fault::Chunks),
        };
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What comes out of bytes that arrive in pieces of these lengths, again and again: the lengths of heads, and
    /// the bytes that passed before a fault or the end.
    fn outcome(bytes: &[u8], pieces: &[usize]) -> (Vec<usize>, usize, Option<Fault>) {
        let (mut framing, mut heads, mut passed, mut came) = (Framing::new(), Vec::new(), 0, 0);
        for piece in pieces.iter().cycle() {
            if came == bytes.len() {
                break;
            }
            came = (came + piece).min(bytes.len());
            while passed < came {
                match framing.step(&bytes[passed..came]) {
                    Ok(Step::Body(pass)) => passed += pass,
                    Ok(Step::Head(pass)) => {
                        passed += pass;
                        heads.push(pass);
                    }
                    Ok(Step::Wait) => framing.answered(false),
                    Ok(Step::More) => break,
                    Err(fault) => return (heads, passed, Some(fault)),
                }
            }
        }
        (heads, passed, None)
    }

    fn message() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("GET / HTTP/1.1\r\nhost: a\r\n\r\n".to_owned()),
            Just("\r\n\nGET /healthz HTTP/1.1\nhost: a\nupgrade: h2c\n\n".to_owned()),
            "[ -~]{1,40}".prop_map(|body| {
                format!("POST /b HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}", body.len())
            }),
            ("[a-z\r\n]{1,20}", "(;[a-z]{0,5})?", "([a-z]: b\r\n){0,2}").prop_map(|(data, extension, trailers)| {
                let head = "POST /c HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
                format!("{head}{:x} {extension}\r\n{data}\r\n0\r\n{trailers}\r\n", data.len())
            }),
        ]
    }

    proptest! {
        #[test]
        fn how_bytes_arrive_changes_nothing(
            messages in prop::collection::vec(message(), 1..5),
            tail in prop_oneof![Just(String::new()), "[ -~\r\n]{0,40}", Just("GET / HTTP/1.1\r\n\r\n".to_owned())],
            pieces in prop::collection::vec(1..40_usize, 1..8),
        ) {
            let text = messages.concat();
            let (heads, passed, fault) = outcome(text.as_bytes(), &[text.len()]);
            prop_assert_eq!((heads.len(), passed, fault), (messages.len(), text.len(), None));
            let bytes = [text.as_bytes(), tail.as_bytes()].concat();
            let whole = outcome(&bytes, &[bytes.len()]);
            let one_by_one = outcome(&bytes, &[1]);
            let in_pieces = outcome(&bytes, &pieces);
            // A head that can be no head is seen to be none when it begins, or when it may be whole.
            for other in [&one_by_one, &in_pieces] {
                prop_assert_eq!((&whole.0, whole.1), (&other.0, other.1));
                prop_assert!(other.2.is_none() || whole.2.is_some());
            }
        }

        #[test]
        fn no_bytes_make_it_pass_what_is_no_message(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let (heads, passed, _) = outcome(&bytes, &[7]);
            prop_assert!(!heads.is_empty() || passed == 0);
        }
    }

    #[test]
    fn chunks_that_the_parser_would_refuse_end_the_input() {
        let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        for chunks in [
            "x\r\n",
            "\r\n",
            "-1\r\n",
            "1\n1",
            "1 2\r\n",
            "1;a\nb\r\n",
            "1\r\nab",
            "1\r\na\rb",
            "11111111111111111\r\n",
            "0\r\n\rx",
            "0\r\na: b\rc",
        ] {
            let text = format!("{head}{chunks}");
            assert_eq!(outcome(text.as_bytes(), &[1]).2, Some(Fault::Chunks), "{chunks:?}");
            assert_eq!(outcome(text.as_bytes(), &[text.len()]).2, Some(Fault::Chunks), "{chunks:?}");
        }
    }
}

//! Reads the parts of a record's payload one behind the other. No bytes make it panic.

const NO_TEXT: RecordError = RecordError::Malformed("text");

#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader of all of `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Whether nothing is left.
    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    #[inline]
    fn take(&mut self, len: usize) -> Result<&'a [u8], RecordError> {
        let end = self.at.checked_add(len).ok_or(RecordError::Truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(RecordError::Truncated)?;
        self.at = end;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        self.take(N)?.try_into().map_err(|_| RecordError::Truncated)
    }

    #[inline]
    pub(super) fn u8(&mut self) -> Result<u8, RecordError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    #[inline]
    pub(super) fn u16(&mut self) -> Result<u16, RecordError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    #[inline]
    pub(super) fn u32(&mut self) -> Result<u32, RecordError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    #[inline]
    pub(super) fn u64(&mut self) -> Result<u64, RecordError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    #[inline]
    pub(super) fn i64(&mut self) -> Result<i64, RecordError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    pub(super) fn short(&mut self) -> Result<&'a str, RecordError> {
        let len = self.u16()?;
        self.text(len as usize)
    }

    pub(super) fn long(&mut self) -> Result<&'a str, RecordError> {
        let len = self.u32()?;
        self.text(len as usize)
    }

    /// Texts one behind the other, those that `is_there` says. Nearly always they are UTF-8 together with the
    /// lengths between them, so that one check is enough for all.
    pub(super) fn shorts<const N: usize>(&mut self, is_there: [bool; N]) -> Result<[Option<&'a str>; N], RecordError> {
        let begin = self.at;
        let mut spans = [None; N];
        for (span, _) in spans.iter_mut().zip(is_there).filter(|(_, is_there)| *is_there) {
            let len = self.u16()? as usize;
            let start = self.at - begin;
            self.take(len)?;
            *span = Some((start, start + len));
        }
        let bytes = self.bytes.get(begin..self.at).unwrap_or_default();
        let together = std::str::from_utf8(bytes).ok();
        let mut texts = [None; N];
        for (text, span) in texts.iter_mut().zip(spans) {
            let Some((start, end)) = span else { continue };
            let found = match together {
                Some(all) => all.get(start..end),
                None => bytes.get(start..end).and_then(|bytes| std::str::from_utf8(bytes).ok()),
            };
            *text = Some(found.ok_or(NO_TEXT)?);
        }
        Ok(texts)
    }

    pub(super) fn skip(&mut self, len: usize) -> Result<(), RecordError> {
        self.take(len).map(drop)
    }

    pub(super) fn skip_short(&mut self) -> Result<(), RecordError> {
        let len = self.u16()?;
        self.skip(len as usize)
    }

    fn text(&mut self, len: usize) -> Result<&'a str, RecordError> {
        std::str::from_utf8(self.take(len)?).map_err(|_| NO_TEXT)
    }

    /// As many bytes as the length before them says, and where they begin.
    pub(super) fn framed(&mut self) -> Result<(usize, &'a [u8]), RecordError> {
        let len = self.u32()? as usize;
        let offset = self.at;
        Ok((offset, self.take(len)?))
    }
}

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Written by a newer program.
    #[error("record version {0} is not known to this program")]
    Version(u8),
    /// Ends before it is complete.
    #[error("record is cut short")]
    Truncated,
    /// A part has an impossible value.
    #[error("record has an impossible {0}")]
    Malformed(&'static str),
}

//! One field of an event as it is being read: a listed name goes before one that differs in case or
//! separators, whatever their order, and two names of the same rank must agree.

use std::borrow::Cow;

use domain::rejection::{RejectCode, Rejection};
use domain::warning::{Warning, WarningCode};

/// A name with its rank.
#[derive(Debug, Clone)]
pub(crate) struct Named<'a> {
    /// As it is written.
    pub(crate) text: Cow<'a, str>,
    /// Whether it is listed like that.
    pub(crate) exact: bool,
}

/// A field that is a text.
pub(crate) type Text<'a> = Slot<'a, Cow<'a, str>>;

/// A field as far as it has been read.
#[derive(Debug)]
pub(crate) struct Slot<'a, T> {
    value: Option<T>,
    name: Cow<'a, str>,
    exact: bool,
    /// Why the event is refused unless a listed name comes: two names that are not listed differ.
    fault: Option<Box<Rejection>>,
}

impl<T> Default for Slot<'_, T> {
    fn default() -> Self {
        Self { value: None, name: Cow::Borrowed(""), exact: false, fault: None }
    }
}

impl<'a, T: PartialEq> Slot<'a, T> {
    /// The value so far.
    pub(crate) fn value(&self) -> Option<&T> {
        self.value.as_ref()
    }

    /// The name that the value so far was read from.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Takes a value of an event's own object or of a table. An absent one changes nothing.
    ///
    /// # Errors
    /// The refusal of the event, when a listed name cannot be read or differs from another.
    pub(crate) fn put(
        &mut self,
        name: Named<'a>,
        value: Result<Option<T>, Rejection>,
        warnings: &mut Vec<Warning<'a>>,
    ) -> Result<(), Rejection> {
        match value {
            Ok(None) => Ok(()),
            Ok(Some(value)) => self.fill(name, value, warnings),
            Err(refusal) if name.exact => Err(refusal),
            Err(_) => {
                warnings.push(Warning::of(WarningCode::FieldNotRead, name.text));
                Ok(())
            }
        }
    }

    fn fill(&mut self, name: Named<'a>, value: T, warnings: &mut Vec<Warning<'a>>) -> Result<(), Rejection> {
        let mut ambiguous = |name: Cow<'a, str>| warnings.push(Warning::of(WarningCode::AmbiguousField, name));
        let agrees = self.value.as_ref().map(|known| *known == value);
        match (agrees, self.exact, name.exact) {
            (Some(false), true, true) => return Err(conflict(&self.name, &name.text)),
            (Some(false), true, false) => ambiguous(name.text),
            (Some(false), false, false) => {
                self.fault.get_or_insert_with(|| Box::new(conflict(&self.name, &name.text)));
            }
            (Some(true), true, _) | (Some(true), false, false) => {}
            (known, false, true) => {
                if known == Some(false) {
                    ambiguous(std::mem::take(&mut self.name));
                }
                if let Some(field) = self.fault.take().and_then(|fault| fault.field) {
                    ambiguous(Cow::Owned(field));
                }
                *self = Self { value: Some(value), name: name.text, exact: true, fault: None };
            }
            (None, _, exact) => {
                let fault = self.fault.take();
                *self = Self { value: Some(value), name: name.text, exact, fault };
            }
        }
        Ok(())
    }

    /// Takes a value of the free properties, where only a listed name can refuse the event; `object` is their name.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub(crate) fn put_inside(
        &mut self,
        object: &str,
        name: Named<'a>,
        value: Result<Option<T>, Rejection>,
        warnings: &mut Vec<Warning<'a>>,
    ) -> Result<(), Rejection> {
        let path = |name: &str| format!("{object}.{name}");
        let mut warn = |code, name: &str| warnings.push(Warning::of(code, path(name)));
        match (value, name.exact) {
            (Ok(None), _) => {}
            (Err(refusal), true) => return Err(refusal),
            (Err(_), false) => warn(WarningCode::FieldNotRead, &name.text),
            (Ok(Some(value)), exact) => match self.value.as_ref().map(|known| *known == value) {
                None => *self = Self { value: Some(value), name: name.text, exact, fault: None },
                Some(false) if self.exact && exact => {
                    return Err(conflict(&path(&self.name), &path(&name.text)));
                }
                Some(false) if exact => {
                    warn(WarningCode::AmbiguousField, &self.name);
                    *self = Self { value: Some(value), name: name.text, exact, fault: None };
                }
                Some(false) => warn(WarningCode::AmbiguousField, &name.text),
                Some(true) => self.exact |= exact,
            },
        }
        Ok(())
    }

    /// The value alone.
    pub(crate) fn into_value(self) -> Option<T> {
        self.value
    }

    /// The value, when all members have been taken, and whether a listed name gave it.
    ///
    /// # Errors
    /// The refusal of the event that no listed name has averted.
    pub(crate) fn settle(&mut self) -> Result<(Option<T>, bool), Rejection> {
        match self.fault.take() {
            Some(fault) => Err(*fault),
            None => Ok((self.value.take(), self.exact)),
        }
    }
}

/// The refusal of an event whose members `first` and `second` mean the same and differ.
pub(crate) fn conflict(first: &str, second: &str) -> Rejection {
    let message = if first == second {
        "stands twice, with two values".to_owned()
    } else {
        format!("differs from `{first}`, which means the same")
    };
    Rejection::of(RejectCode::ConflictingFields, second, message)
}

//! What is to be erased, and what came of it. An erasure covers the events that were counted when it was asked for;
//! what comes later is new, unless the erasure refuses it.

use crate::position::Seq;
use crate::time::{MICROS_PER_SECOND, Timestamp};
use crate::window::WindowRule;

/// The longest cell, in seconds: the smallest bucket of a series.
const CELL_SEC_MAX: i64 = 60;

/// Stands for a customer that was erased: no customer has such a name.
pub const ERASED_CUSTOMER: &str = "\u{1}";

/// How long a cell of time is in which erased events are summed up, in microseconds: windows and minutes are whole cells.
pub fn cell_us(rule: WindowRule) -> i64 {
    let (mut left, mut right) = (CELL_SEC_MAX, rule.length_us() / MICROS_PER_SECOND);
    while right != 0 {
        (left, right) = (right, left % right);
    }
    left * MICROS_PER_SECOND
}

/// What kind of thing is erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SubjectKind {
    /// A user: who acted.
    User,
    /// A customer: who is charged.
    Customer,
    /// The whole workspace.
    Workspace,
}

impl SubjectKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::User, Self::Customer, Self::Workspace];

    /// Its name in the API and in the manifest.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Customer => "customer",
            Self::Workspace => "workspace",
        }
    }

    /// The kind of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// Whose events are to be erased.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The user of this name.
    User(String),
    /// The customer of this name.
    Customer(String),
    /// Everybody in the workspace.
    Workspace,
}

impl Subject {
    /// What kind of thing it is.
    pub const fn kind(&self) -> SubjectKind {
        match self {
            Self::User(_) => SubjectKind::User,
            Self::Customer(_) => SubjectKind::Customer,
            Self::Workspace => SubjectKind::Workspace,
        }
    }

    /// Its name; a workspace is named by its scope.
    pub fn name(&self) -> &str {
        match self {
            Self::User(name) | Self::Customer(name) => name,
            Self::Workspace => "",
        }
    }
}

/// An erasure as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasureRequest {
    /// Names it; asked for again under the same id, it is not made twice.
    pub id: String,
    /// What goes.
    pub subject: Subject,
    /// Whether later events of the subject are refused.
    pub blocks: bool,
    /// Who asks, by the internal id.
    pub by: String,
}

/// An erasure and how far it is. It does not name its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// Names it.
    pub id: String,
    /// What kind of thing it erases.
    pub kind: SubjectKind,
    /// Whether later events of the subject are refused.
    pub blocks: bool,
    /// The last record of which it erases events.
    pub through: Seq,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// Who asked, by the internal id.
    pub by: String,
    /// The zone whose days of active users stay as they were, by its IANA name; empty when it was changed in the middle.
    pub zone: String,
    /// What has gone so far.
    pub gone: ErasedSoFar,
    /// When the last of it was gone.
    pub finished_at: Option<Timestamp>,
}

/// What an erasure has removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ErasedSoFar {
    /// Raw events.
    pub events: u64,
    /// Segments that were written anew.
    pub segments: u64,
    /// Names of users that no event is left of.
    pub users: u64,
    /// Dead letters whose payload was emptied.
    pub dead_letters: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_and_minutes_are_whole_cells() {
        for (length, cell) in [(30, 30), (60, 60), (90, 30), (3_600, 60), (1, 1), (225, 15)] {
            let rule = WindowRule::new(length, 0).unwrap_or_default();
            assert_eq!(cell_us(rule), cell * MICROS_PER_SECOND, "{length}");
        }
    }
}

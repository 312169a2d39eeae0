//! What was verified, and differences as they are told.

use std::io::Write;

use ports::verification::VerifySummary;

use super::audit::AuditSummary;
use crate::exit::Exit;

/// Prints differences as they are found.
pub(super) struct Differences {
    pub(super) written: std::io::Result<()>,
}

impl Default for Differences {
    fn default() -> Self {
        Self { written: Ok(()) }
    }
}

impl Differences {
    pub(super) fn tell(&mut self, difference: &str) {
        if self.written.is_ok() {
            self.written = writeln!(std::io::stdout(), "{difference}");
        }
    }
}

/// What was verified.
#[derive(Debug)]
pub(in crate::commands) struct Verified {
    pub(super) ledger: VerifySummary,
    pub(super) log: AuditSummary,
}

impl Verified {
    /// How many differences there are.
    pub(in crate::commands) fn differences(&self) -> u64 {
        self.ledger.differences + self.log.differences
    }

    /// How the command ends.
    pub(super) fn exit(&self) -> Option<Exit> {
        (self.differences() > 0).then_some(Exit::Difference)
    }

    /// Prints a summary line.
    pub(in crate::commands) fn tell(&self) -> std::io::Result<()> {
        let Self { ledger, log } = self;
        writeln!(
            std::io::stdout(),
            "verified {} events: {} windows, {} hours, {} customers, {} rollups, {} audit entries{}, {} differences",
            ledger.events,
            ledger.windows,
            ledger.hours,
            ledger.customers,
            ledger.rollups,
            log.entries,
            if log.erased == 0 { String::new() } else { format!(" ({} erased)", log.erased) },
            self.differences(),
        )
    }
}

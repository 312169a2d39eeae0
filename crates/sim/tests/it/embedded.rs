//! The subject: the local journal and the embedded ledger over one simulated disk, with limits so small
//! that a few requests fill a segment, a few records flush, and a few flushes merge. A flaw can be
//! planted in what they stand on or in what they answer.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use journal::{JournalOptions, LocalJournal};
use ledger_embedded::{EmbeddedLedger, LedgerOptions};
use ports::PortError;
use ports::analytics::Analytics;
use ports::journal::OrderedJournal;
use ports::ledger::Ledger;
use ports::reports::Reports;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sim::{Subject, World};
use tokio::runtime::{Builder, Runtime};

use crate::flaws::{Flaw, FlawedJournal, FlawedLedger, flawed_disk};

/// Most bytes that may wait to be applied.
pub(crate) const BACKLOG_BYTES_MAX: usize = 5_000;

/// A journal and a ledger.
#[derive(Debug)]
pub(crate) struct Embedded {
    journal: FlawedJournal,
    ledger: FlawedLedger,
}

/// How they are set up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) flush_rows: usize,
    pub(crate) fan_in: usize,
    pub(crate) segment_bytes: u64,
    pub(crate) reserve_bytes: u64,
    pub(crate) retention_days: Option<u32>,
    pub(crate) flaw: Option<Flaw>,
}

impl Setup {
    /// Files and memtables so small that every step flushes, merges or rolls over soon.
    pub(crate) const SMALL: Self =
        Self { flush_rows: 9, fan_in: 2, segment_bytes: 1_500, reserve_bytes: 0, retention_days: None, flaw: None };

    /// The setup that this seed stands for.
    pub(crate) fn of(seed: u64) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let mut pick = |choices: [u32; 4]| choices[dice.random_range(0..4)];
        Self {
            flush_rows: pick([9, 3, 20, 60]) as usize,
            fan_in: pick([2, 2, 3, 4]) as usize,
            segment_bytes: u64::from(pick([400, 800, 1_500, 20_000])),
            reserve_bytes: u64::from(pick([0, 0, 0, 2_000])),
            retention_days: Some(pick([0, 0, 1, 2])).filter(|days| *days > 0),
            flaw: None,
        }
    }

    fn ledger(self) -> LedgerOptions {
        LedgerOptions {
            flush_rows: self.flush_rows,
            flush_age: Duration::from_secs(120),
            compact_fan_in: self.fan_in,
            segment_rows_max: 80,
            retention_days: self.retention_days,
            retention_delay: Duration::ZERO,
            seed_key: [7; 16],
            background: false,
            ..LedgerOptions::default()
        }
    }

    fn journal(self) -> JournalOptions {
        JournalOptions {
            segment_bytes: self.segment_bytes,
            backlog_bytes_max: BACKLOG_BYTES_MAX,
            reserve_bytes: self.reserve_bytes,
            ..JournalOptions::default()
        }
    }
}

impl Subject for Embedded {
    type Options = Setup;

    async fn open(world: &World, setup: &Setup) -> Result<Self, PortError> {
        let vfs = flawed_disk(&world.disk, setup.flaw);
        let (segments, journal) = (PathBuf::from("/data/segments"), PathBuf::from("/data/journal"));
        let clock = Arc::clone(&world.clock);
        let ledger = EmbeddedLedger::open(Arc::clone(&vfs), segments, world.manifest(), clock, setup.ledger()).await?;
        let journal = LocalJournal::open(vfs, journal, ledger.cursor(), setup.journal())?;
        Ok(Self {
            journal: FlawedJournal { journal, flaw: setup.flaw },
            ledger: FlawedLedger { ledger, flaw: setup.flaw },
        })
    }

    fn journal(&self) -> &dyn OrderedJournal {
        &self.journal
    }

    fn ledger(&self) -> &dyn Ledger {
        &self.ledger
    }

    fn reports(&self) -> &dyn Reports {
        &*self.ledger.ledger
    }

    fn analytics(&self) -> &dyn Analytics {
        &*self.ledger.ledger
    }

    async fn maintain(&self) -> Result<(), PortError> {
        self.ledger.ledger.maintain().await
    }

    async fn verify(&self) -> Result<Vec<String>, PortError> {
        let mut differences = Vec::new();
        self.ledger.ledger.verify(&mut |difference| differences.push(difference.to_string())).await?;
        Ok(differences)
    }
}

/// A runtime on this thread alone, so that a seed gives one order of steps.
pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

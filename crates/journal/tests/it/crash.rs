//! Power cuts at every step of a journal's life, with every kind of outcome for what was not synced,
//! recovery included (F1, F2, F8): I1, I4, I7, I8 and the order hold.

use std::collections::BTreeMap;

use bytes::Bytes;
use domain::position::{RecordId, Seq};
use journal::LocalJournal;
use ports::journal::{Journal, JournalHealth, OrderedJournal};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use vfs::testing::{Call, EIO, Fault, SimVfs};

use crate::support::{batch, open, queued, read_all, small_segments};

/// What the clients and the ledger know, whatever happens to the journal.
#[derive(Default)]
struct Outside {
    /// Payloads that were ever handed to `append`.
    attempted: Vec<Bytes>,
    /// What was acknowledged, or handed out, which is as binding.
    promised: BTreeMap<Seq, Bytes>,
    /// Durable elsewhere.
    flushed: Seq,
}

impl Outside {
    fn number(&self) -> u64 {
        self.attempted.len() as u64
    }

    /// Appends one record; whether it was acknowledged.
    async fn append(&mut self, journal: &LocalJournal) -> bool {
        let batch = batch(self.number());
        self.attempted.push(batch.payload().clone());
        let answer = journal.append(&batch).await;
        self.answered(answer.ok().map(Seq::of_record), batch.payload())
    }

    /// Appends one record and, while it is being synced, three more, which make one group.
    async fn append_group(&mut self, disk: &SimVfs, journal: &LocalJournal) {
        let batches: Vec<_> = (self.number()..).take(4).map(batch).collect();
        self.attempted.extend(batches.iter().map(|batch| batch.payload().clone()));
        let hold = disk.hold_syncs();
        let mut appends = vec![queued(journal.append(&batches[0]))];
        if !matches!(journal.health().await, JournalHealth::Poisoned(_)) {
            hold.reached();
        }
        appends.extend(batches[1..].iter().map(|batch| queued(journal.append(batch))));
        drop(hold);
        for (append, batch) in appends.into_iter().zip(&batches) {
            let answer = append.await;
            self.answered(answer.ok().map(Seq::of_record), batch.payload());
        }
    }

    fn answered(&mut self, seq: Option<Seq>, payload: &Bytes) -> bool {
        if let Some(seq) = seq {
            let earlier = self.promised.insert(seq, payload.clone());
            assert!(earlier.is_none_or(|earlier| earlier == payload), "number {seq} was given twice");
        }
        seq.is_some()
    }

    /// Checks a journal that was just opened, by reading all of it.
    async fn check(&mut self, journal: &LocalJournal, what: &str) {
        let entries = read_all(journal).await.unwrap_or_else(|why| panic!("{what}: {why:?}"));
        let mut seen = Vec::new();
        for (entry, seq) in entries.iter().zip(self.flushed.0 + 1..) {
            assert_eq!(Seq::of_record(entry.id), Seq(seq), "{what}: the order has a gap");
            assert!(self.attempted.contains(&entry.payload), "{what}: I4, record {seq} was never appended");
            assert!(!seen.contains(&&entry.payload), "{what}: I4, record {seq} is there twice");
            seen.push(&entry.payload);
        }
        let found: BTreeMap<Seq, &Bytes> =
            entries.iter().map(|entry| (Seq::of_record(entry.id), &entry.payload)).collect();
        for (seq, payload) in self.promised.range(self.flushed.next()..) {
            assert_eq!(found.get(seq), Some(&payload), "{what}: I1, record {seq} was acknowledged");
        }
        self.promised.extend(entries.into_iter().map(|entry| (Seq::of_record(entry.id), entry.payload)));
    }

    /// The ledger has everything that was promised.
    async fn flush(&mut self, journal: &LocalJournal) {
        self.flushed = self.promised.keys().next_back().copied().unwrap_or(self.flushed).max(self.flushed);
        let ids: Vec<RecordId> = self.promised.keys().copied().map(RecordId::from).collect();
        journal.ack(&ids).await;
        // May fail on a dead disk, which harms nothing.
        let _ = journal.trim(self.flushed).await;
    }
}

/// A life of the journal with every kind of step in it: starts, single appends, groups, new
/// segments, trimming, a stop and a restart.
async fn live(disk: &SimVfs, outside: &mut Outside) {
    for _ in 0..2 {
        let Ok(journal) = open(disk, outside.flushed.0, small_segments()) else { return };
        outside.append(&journal).await;
        outside.append_group(disk, &journal).await;
        outside.append(&journal).await;
        outside.flush(&journal).await;
        outside.append_group(disk, &journal).await;
        outside.append(&journal).await;
        journal.close().await;
    }
}

/// Opens the journal after a crash and checks it; it must come back.
async fn reopen(disk: &SimVfs, outside: &mut Outside, what: &str) -> LocalJournal {
    let opened = open(disk, outside.flushed.0, small_segments());
    let journal = opened.unwrap_or_else(|why| panic!("{what}: I7: {why:?}"));
    outside.check(&journal, what).await;
    journal
}

async fn crash_at(step: u64, seed: u64) -> bool {
    let what = format!("step {step}, seed {seed}");
    let disk = SimVfs::new();
    let mut outside = Outside::default();
    disk.fail_at(step, Fault::Crash);
    live(&disk, &mut outside).await;
    let struck = disk.is_down();
    disk.heal();
    disk.crash(seed);
    let journal = reopen(&disk, &mut outside, &what).await;
    assert!(outside.append(&journal).await, "{what}: I7");
    drop(journal);
    disk.crash(seed + 1);
    reopen(&disk, &mut outside, &what).await;
    struck
}

#[tokio::test]
async fn a_crash_at_any_step_loses_nothing_and_invents_nothing() {
    let mut step = 0;
    while crash_at(step, step).await {
        for seed in 0..12 {
            crash_at(step, 1_000 * step + seed).await;
        }
        step += 1;
    }
    assert!(step > 60, "only {step} steps");
}

/// F8.
#[tokio::test]
async fn crashes_during_recovery_lose_nothing() {
    for seed in 0..300 {
        let what = format!("seed {seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        let disk = SimVfs::new();
        let mut outside = Outside::default();
        disk.fail_at(rng.random_range(10..90), Fault::Crash);
        live(&disk, &mut outside).await;
        disk.crash(rng.random());
        for _ in 0..20 {
            disk.fail_at(disk.steps() + rng.random_range(0..25), Fault::Crash);
            if let Ok(journal) = open(&disk, outside.flushed.0, small_segments()) {
                outside.append(&journal).await;
                outside.flush(&journal).await;
                outside.append(&journal).await;
            }
            if rng.random_bool(0.7) || disk.is_down() {
                disk.crash(rng.random());
            } else {
                disk.kill();
            }
        }
        disk.heal();
        let journal = reopen(&disk, &mut outside, &what).await;
        assert!(outside.append(&journal).await, "{what}: I7");
    }
}

/// `kill -9` and failed syncs: the page cache survives, and may show what the disk does not have.
#[tokio::test]
async fn a_killed_process_loses_nothing() {
    for seed in 0..100 {
        let mut rng = StdRng::seed_from_u64(seed);
        let disk = SimVfs::new();
        let mut outside = Outside::default();
        for _ in 0..5 {
            if rng.random() {
                disk.fail_at(disk.steps() + rng.random_range(0..60), Fault::Crash);
            } else {
                disk.fail_next(Call::Sync, Fault::Error(EIO));
            }
            live(&disk, &mut outside).await;
            disk.heal();
            disk.kill();
            reopen(&disk, &mut outside, &format!("seed {seed}")).await;
            disk.kill();
        }
        disk.crash(seed);
        reopen(&disk, &mut outside, &format!("seed {seed}, then a power loss")).await;
    }
}

//! What commits have removed is in no page of the file and not in its log.

#![expect(clippy::disallowed_methods, reason = "a test reads its own files")]

use std::fs;

use domain::erasure::{ErasedSoFar, Erasure, SubjectKind};
use domain::position::Seq;
use domain::tenant::TenantId;
use domain::time::Timestamp;
use domain::users::UserNumber;
use domain::window::WindowRule;
use manifest::SqliteManifest;
use ports::manifest::{Commit, DeadLetter, Identity, Manifest, NewUsers, StoredErasure};

use crate::Outcome;
use crate::place::Folder;

const NAME: &str = "uSeR-4kQz81LmNp0x";
const LETTER: &str = "lEtTeR-7yHnB3vC9w";
const SUBJECT: &str = "sUbJeCt-5tGbR2eDc";

/// Which of the texts the database and its log hold.
fn held(folder: &Folder) -> Vec<&'static str> {
    let mut said = fs::read(folder.file()).unwrap_or_default();
    let log = folder.file().with_extension("sqlite-wal");
    said.extend(fs::read(log).unwrap_or_default());
    let holds = |text: &&str| said.windows(text.len()).any(|bytes| bytes == text.as_bytes());
    [NAME, LETTER, SUBJECT].into_iter().filter(holds).collect()
}

fn stored(tenant: &TenantId, subject: Option<&str>) -> StoredErasure {
    let erasure = Erasure {
        id: "one".into(),
        kind: SubjectKind::User,
        blocks: false,
        through: Seq(1),
        requested_at: Timestamp::MIN,
        by: "user:a".into(),
        zone: "UTC".into(),
        gone: ErasedSoFar::default(),
        finished_at: None,
    };
    StoredErasure { tenant: tenant.clone(), subject: subject.map(str::to_owned), subject_hash: 1, erasure }
}

#[tokio::test]
async fn what_was_removed_is_in_no_page_and_not_in_the_log() -> Outcome {
    let folder = Folder::new()?;
    let store: SqliteManifest = folder.store().await?;
    let tenant = TenantId::default_tenant();
    store.load(&Identity { key: [1; 16], rule: WindowRule::default() }).await?;
    let names = (0..3_000).map(|n| if n == 1_500 { NAME.to_owned() } else { format!("u{n}") }).collect();
    let users = vec![NewUsers { tenant: tenant.clone(), first: 0, names }];
    store.commit(&Commit { users, erasures: vec![stored(&tenant, Some(SUBJECT))], ..Commit::default() }).await?;
    let payload = LETTER.repeat(2_000).into_bytes();
    let letter = DeadLetter {
        seq: Seq(3),
        tenant: Some(tenant.clone()),
        reason: LETTER.into(),
        dead_lettered_at: Timestamp::MIN,
        payload,
    };
    store.store_dead_letter(&letter).await?;
    assert_eq!(held(&folder), [NAME, LETTER, SUBJECT], "where they ought to be");
    let commit = Commit {
        erased_users: vec![(tenant.clone(), vec![UserNumber(1_500)])],
        emptied_letters: vec![Seq(3)],
        erasures: vec![stored(&tenant, None)],
        ..Commit::default()
    };
    store.commit(&commit).await?;
    store.scrub().await?;
    assert_eq!(held(&folder), Vec::<&str>::new());
    store.commit(&Commit { closed_through: Some(Timestamp::from_micros(1)), ..Commit::default() }).await?;
    assert_eq!(held(&folder), Vec::<&str>::new(), "it takes writes as before");
    store.close().await?;
    assert_eq!(held(&folder), Vec::<&str>::new());
    Ok(())
}

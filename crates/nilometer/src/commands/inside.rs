//! What `nilometer bench auth` cannot have over HTTP: a register of many keys, written into the folder of a stopped
//! server through the port, many records a commit; the check of an access token by itself; a hash of a password.

use std::hint::black_box;
use std::path::Path;

use access::passwords::{Password, PasswordHasher};
use access::random::base62;
use access::tokens::{TokenIssuer, TokenKey, TokenNames, TokenVerifier};
use anyhow::{Context, ensure};
use bench::{DatabaseUrls, Inside, PasswordCost, RegisterPlan, TokenRound};
use clock::{Stopwatch, SystemClock};
use domain::access::ids::{ID_CHARS, KeyId};
use domain::access::key_text::{KeyPurpose, KeyText, SECRET_CHARS};
use domain::access::record::{ApiKey, KeyOrigin, Record, Versioned, Workspace};
use domain::access::rights::{KeyScope, KeyScopes};
use domain::tenant::TenantId;
use domain::time::Timestamp;
use ports::clock::Clock;
use ports::register::RegisterCommit;

use super::shared::Shared;
use crate::assemble::{Engine, EngineOptions};

/// Records of one commit.
const COMMIT_RECORDS: usize = 2_000;
/// Checks of each way in one round.
const CHECKS: u32 = 100;
/// Passwords that are hashed.
const PASSWORDS: u32 = 20;

/// The inside of this program.
#[derive(Debug, Clone, Copy)]
pub(super) struct OfThisProgram;

impl Inside for OfThisProgram {
    type Shared = Shared;

    async fn open_shared(&self, urls: &DatabaseUrls, ids: u64) -> anyhow::Result<Shared> {
        Shared::open(urls, ids).await
    }

    async fn make_register(&self, data: &Path, plan: RegisterPlan) -> anyhow::Result<Vec<String>> {
        let engine = Engine::open_to_load(data, EngineOptions::default()).await?;
        let made = fill(&engine, plan).await;
        engine.close().await?;
        made
    }

    fn time_tokens(&self, rounds: u32) -> anyhow::Result<Vec<TokenRound>> {
        let (key, now) = (TokenKey::generate()?, SystemClock.now());
        let names = TokenNames { issuer: "nilometer".to_owned(), audience: "nilometer".to_owned() };
        let token = TokenIssuer::new(names.clone(), &key).issue(&base62(ID_CHARS)?, &base62(ID_CHARS)?, now)?.text;
        let verifier = TokenVerifier::new(&names, &[key.public().clone()])?;
        let bare = key.public().bare_verification(&token).context("the token has no signature")?;
        let time_anew = || each_ns(|| verifier.verify_anew(&token, now).is_ok());
        let time_bare = || each_ns(&bare);
        let mut all = Vec::new();
        for round in 0..rounds {
            let (anew_ns, bare_ns) = if round.is_multiple_of(2) {
                let anew_ns = time_anew()?;
                (anew_ns, time_bare()?)
            } else {
                let bare_ns = time_bare()?;
                (time_anew()?, bare_ns)
            };
            let remembered_ns = each_ns(|| verifier.verify(&token, now).is_ok())?;
            all.push(TokenRound { anew_ns, bare_ns, remembered_ns });
        }
        Ok(all)
    }

    async fn time_passwords(&self) -> anyhow::Result<PasswordCost> {
        let hasher = PasswordHasher::start()?;
        let password = Password::new("a password like another")?;
        let hash = hasher.hash(&password).await?;
        // What stands before the salt.
        let parameters: Vec<_> = hash.split('$').filter(|part| !part.is_empty()).take(3).collect();
        let since = Stopwatch::start();
        for _ in 0..PASSWORDS {
            ensure!(hasher.verify(&password, Some(&hash)).await?, "a password does not fit its own hash");
        }
        let each_ms = since.elapsed().as_secs_f64() * 1e3 / f64::from(PASSWORDS);
        Ok(PasswordCost { parameters: parameters.join(" "), each_ms })
    }
}

/// How long a check takes, which must succeed, in nanoseconds.
fn each_ns(check: impl Fn() -> bool) -> anyhow::Result<f64> {
    let since = Stopwatch::start();
    for _ in 0..CHECKS {
        ensure!(black_box(check()), "a token of our own is not taken");
    }
    Ok(since.elapsed().as_secs_f64() * 1e9 / f64::from(CHECKS))
}

/// Stores the workspaces and the keys; returns the texts of those of the first workspace.
async fn fill(engine: &Engine, plan: RegisterPlan) -> anyhow::Result<Vec<String>> {
    let now = SystemClock.now();
    let ids = (0..plan.workspaces).map(|number| TenantId::parse(&format!("workspace-{number:06}")));
    let ids = ids.collect::<Result<Vec<_>, _>>()?;
    let mut records: Vec<_> = ids
        .iter()
        .map(|id| Record::Workspace(Workspace::new(id.clone(), format!("The workspace {id}"), now)))
        .collect();
    let mut texts = Vec::new();
    if let Some((first, others)) = ids.split_first() {
        for number in 0..plan.keys {
            let is_of_first = number < plan.of_first || others.is_empty();
            let workspace = if is_of_first { first } else { &others[number as usize % others.len()] };
            let (key, text) = make_key(workspace, number, now)?;
            records.push(Record::ApiKey(key));
            texts.extend(is_of_first.then_some(text));
        }
    }
    let mut rest = records.into_iter();
    loop {
        let records: Vec<_> = rest.by_ref().take(COMMIT_RECORDS).collect();
        if records.is_empty() {
            // By text, which is random: neighbours here are none where the records are kept.
            texts.sort_unstable();
            return Ok(texts);
        }
        engine.register_store().commit(&RegisterCommit { records, ..RegisterCommit::default() }).await?;
    }
}

fn make_key(workspace: &TenantId, number: u32, now: Timestamp) -> anyhow::Result<(ApiKey, String)> {
    let id = KeyId::parse(&base62(ID_CHARS)?)?;
    let text = KeyText::compose(KeyPurpose::Live, id, &base62(SECRET_CHARS)?)?;
    let key = ApiKey {
        id,
        origin: KeyOrigin::Made(KeyPurpose::Live),
        hash: *blake3::hash(text.expose().as_bytes()).as_bytes(),
        workspace: Some(workspace.clone()),
        project: None,
        name: format!("key {number}"),
        scopes: KeyScopes::of(&[KeyScope::Ingest, KeyScope::Read]),
        expires: None,
        addresses: Box::default(),
        rate: None,
        revoked: None,
        last_used: None,
        created_by: "command".to_owned(),
        versioned: Versioned::new(now),
    };
    Ok((key, text.expose().to_owned()))
}

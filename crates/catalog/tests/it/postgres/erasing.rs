//! What was erased is in no table afterwards. Its bytes stay in files of the server until its tables are written anew.

use std::path::Path;

use catalog::postgres::PostgresCatalog;
use domain::access::audit::{
    AuditDetail, AuditDraft, AuditEntry, AuditFilter, AuditHead, Cause, ERASURE_ACTION, WORKSPACE_ERASURE_ACTION,
    erasure_target,
};
use domain::access::record::{CustomerProfile, Record};
use domain::erasure::Subject;
use domain::quota::{Measure, QuotaKey, QuotaPeriod, VersionedQuota};
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use ports::catalog::{Catalog, TenantSettings};
use ports::register::{AuditLog, Register, RegisterCommit};
use ports::{ErrorKind, PortError};
use sea_orm::sqlx::Connection;
use sea_orm::sqlx::postgres::PgConnection;
use testservers::Postgres;

use super::place::{Base, Session};
use crate::Outcome;
use crate::place::{audit, kind};
use crate::records::profile;

/// A customer that is erased, and one that is not.
const ERASED: &str = "erased-customer-5f2c91";
const KEPT: &str = "kept-customer-5f2c91";

fn scope(id: &str) -> Result<TenantScope, domain::tenant::InvalidTenant> {
    Ok(TenantScope::for_operator(TenantId::parse(id)?))
}

fn erasure(scope: &TenantScope) -> AuditDraft {
    let (action, target) = (ERASURE_ACTION.to_owned(), erasure_target("1"));
    AuditDraft { action, target, ..audit(scope, Timestamp::MIN) }
}

/// Notes an erasure, and has the catalog forget by it.
async fn erase(catalog: &PostgresCatalog, scope: &TenantScope, subject: &Subject) -> Result<(), PortError> {
    catalog.commit(&RegisterCommit { audit: vec![erasure(scope)], ..RegisterCommit::default() }).await?;
    catalog.forget(scope, subject, "1").await
}

/// Everything that a workspace has of a customer: a profile, a quota, and entries of the log.
async fn add(catalog: &PostgresCatalog, scope: &TenantScope, customer: &str) -> Outcome {
    let attributes = format!(r#"{{"mail":"{customer}@mail"}}"#);
    let profile = CustomerProfile { customer: customer.to_owned(), attributes, ..profile(scope.tenant()) };
    let on = |target: String, after: String| AuditDraft {
        target,
        after: Some(after),
        address: Some(format!("address of {customer}")),
        ..audit(scope, Timestamp::MIN)
    };
    let entries = vec![
        on(format!("customer:{customer}"), "{}".to_owned()),
        on("key:1".to_owned(), format!(r#"{{"customer":"{customer}"}}"#)),
    ];
    let records = vec![Record::Customer(profile)];
    catalog.commit(&RegisterCommit { records, audit: entries, ..RegisterCommit::default() }).await?;
    let customer = Some(customer.to_owned());
    let key = QuotaKey { customer, measure: Measure::ALL[0], period: QuotaPeriod::ALL[0] };
    catalog.store_quota(scope, &VersionedQuota { key, terms: None, version: 1 }, &audit(scope, Timestamp::MIN)).await?;
    Ok(())
}

/// A catalog with two workspaces that have the same.
async fn filled(base: &Base) -> Result<(PostgresCatalog, [TenantScope; 2]), Box<dyn std::error::Error>> {
    let catalog = base.catalog().await?;
    let scopes = [scope("acme")?, scope("other")?];
    for scope in &scopes {
        catalog.ensure_tenants(&[scope.tenant().clone()], Timestamp::MIN, &Cause::server()).await?;
        catalog.store_settings(scope, &TenantSettings::default(), &audit(scope, Timestamp::MIN)).await?;
        add(&catalog, scope, ERASED).await?;
        add(&catalog, scope, KEPT).await?;
    }
    Ok((catalog, scopes))
}

/// In which tables a text is in rows of a workspace, whatever the column.
fn tables_with(base: &Base, workspace: &str, text: &str) -> Result<Vec<String>, testservers::Error> {
    let mut found = Vec::new();
    let all = "SELECT tablename FROM pg_tables WHERE schemaname = 'nilometer' ORDER BY tablename COLLATE \"C\"";
    for table in base.sql(all)?.lines() {
        let rows = format!(
            "SELECT count(*) FROM nilometer.{table} t WHERE t::text LIKE '%{text}%' AND t::text LIKE '%{workspace}%'"
        );
        if base.sql(&rows)? != "0" {
            found.push(table.to_owned());
        }
    }
    Ok(found)
}

#[tokio::test]
async fn an_erased_customer_is_in_no_table() -> Outcome {
    let Some(base) = Base::new()? else { return Ok(()) };
    let (catalog, [acme, other]) = filled(&base).await?;
    let with = |of: &TenantScope, customer| tables_with(&base, of.tenant().as_str(), customer);
    let all = ["audit_detail", "customer_profile", "quota"];
    assert_eq!(with(&acme, ERASED)?, all);
    erase(&catalog, &acme, &Subject::Customer(ERASED.to_owned())).await?;
    assert_eq!(with(&acme, ERASED)?, [""; 0]);
    assert_eq!(with(&acme, KEPT)?, all);
    assert_eq!(with(&other, ERASED)?, all, "I5: of one workspace alone");
    let quotas = catalog.quotas().await?;
    let mut left: Vec<_> = quotas.iter().map(|(of, it)| (of.as_str(), it.key.customer.as_deref())).collect();
    left.sort_unstable();
    assert_eq!(left, [("acme", Some(KEPT)), ("other", Some(ERASED)), ("other", Some(KEPT))]);
    Ok(())
}

#[tokio::test]
async fn of_an_erased_workspace_its_row_and_its_bare_log_are_left() -> Outcome {
    let Some(base) = Base::new()? else { return Ok(()) };
    let (catalog, [acme, other]) = filled(&base).await?;
    let id = acme.tenant().as_str();
    let of_server = Cause::server().draft(None, Timestamp::MIN, WORKSPACE_ERASURE_ACTION, "workspace:acme");
    let server = RegisterCommit { audit: vec![of_server], ..RegisterCommit::default() };
    assert!(tables_with(&base, "", id)?.contains(&"tenant_settings".to_owned()));
    erase(&catalog, &acme, &Subject::Workspace).await?;
    catalog.commit(&server).await?;
    let of_other = |base: &Base| {
        base.sql(
            "SELECT (SELECT count(*) FROM nilometer.audit_detail WHERE chain = 'other'), (SELECT count(*) FROM \
             nilometer.customer_profile), (SELECT count(*) FROM nilometer.quota), (SELECT count(*) FROM nilometer.tenant)",
        )
    };
    assert_eq!(of_other(&base)?.split('|').skip(1).collect::<Vec<_>>(), ["4", "4", "2"]);
    let details = base.sql("SELECT count(*) FROM nilometer.audit_detail WHERE chain = 'other'")?;
    catalog.forget_workspace(&acme).await?;
    assert_eq!(tables_with(&base, "", id)?, ["audit_entry", "audit_head", "tenant"]);
    assert_eq!(tables_with(&base, id, ERASED)?, [""; 0]);
    assert_eq!(of_other(&base)?, format!("{details}|2|2|2"), "I5: of one workspace alone");
    assert!(!tables_with(&base, other.tenant().as_str(), ERASED)?.is_empty());
    let erased = "SELECT count(*) FROM nilometer.audit_entry WHERE chain = 'acme' AND erased_by IS NULL";
    assert_eq!(base.sql(erased)?, "0");
    Ok(())
}

/// Who changes a profile and who erases it take the same locks in the same order, so neither waits for the other for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_erasure_and_changes_of_the_same_customer_follow_each_other() -> Outcome {
    let Some(base) = Base::new()? else { return Ok(()) };
    let (catalog, [acme, _]) = filled(&base).await?;
    let (other, third) = (base.open().await?, base.open().await?);
    let (settings, entry) = (TenantSettings::default(), erasure(&acme));
    let subject = Subject::Customer(ERASED.to_owned());
    let first = CustomerProfile { customer: ERASED.to_owned(), ..profile(acme.tenant()) };
    let next = CustomerProfile { versioned: first.versioned.next(Timestamp::MIN), ..first.clone() };
    let commit = |profile: CustomerProfile| {
        let audit = vec![audit(&acme, Timestamp::MIN)];
        RegisterCommit { records: vec![Record::Customer(profile)], audit, ..RegisterCommit::default() }
    };
    let (first, next) = (commit(first), commit(next));
    erase(&catalog, &acme, &subject).await?;
    for round in 0..40 {
        catalog.commit(&first).await?;
        let (forgotten, stored, settled) = tokio::join!(
            erase(&catalog, &acme, &subject),
            other.commit(&next),
            third.store_settings(&acme, &settings, &entry),
        );
        forgotten?;
        assert!(matches!(kind(stored), None | Some(ErrorKind::Conflict)), "round {round}");
        settled?;
        assert_eq!(catalog.customer_profiles(&acme, &[ERASED.to_owned()]).await?, [], "round {round}");
    }
    let mut at = AuditHead::default();
    for entry in catalog.audit_chain(Some(acme.tenant()), 0, usize::MAX).await? {
        assert!(entry.follows(at), "{entry:?}");
        at = entry.head();
    }
    Ok(())
}

#[tokio::test]
async fn a_detail_that_is_gone_without_a_note_is_told_as_missing() -> Outcome {
    let Some(base) = Base::new()? else { return Ok(()) };
    let (catalog, [acme, other]) = filled(&base).await?;
    base.sql("DELETE FROM nilometer.audit_detail WHERE chain = 'acme' AND seq = 2")?;
    let missing = |entries: &[AuditEntry]| -> Vec<u64> {
        let is_missing = |entry: &&AuditEntry| matches!(entry.detail, AuditDetail::Missing { .. });
        entries.iter().filter(is_missing).map(|entry| entry.seq).collect()
    };
    for (scope, expected) in [(&acme, &[2_u64][..]), (&other, &[][..])] {
        let mut at = AuditHead::default();
        let chain = catalog.audit_chain(Some(scope.tenant()), 0, usize::MAX).await?;
        for entry in &chain {
            assert!(entry.follows(at), "{entry:?}");
            at = entry.head();
        }
        assert_eq!(missing(&chain), expected);
        assert_eq!(missing(&catalog.audit_entries(scope, &AuditFilter::default(), 99).await?), expected);
    }
    Ok(())
}

/// Whether a file of a folder has a text in it.
#[expect(clippy::disallowed_methods, reason = "the small tables of a test's own server")]
fn is_in_files(folder: &Path, text: &[u8]) -> std::io::Result<bool> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let is_there = if path.is_dir() {
            is_in_files(&path, text)?
        } else {
            std::fs::read(&path)?.windows(text.len()).any(|part| part == text)
        };
        if is_there {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What an operator does: the catalog cannot, since its login owns no table. A plain VACUUM gives room free and leaves the
/// bytes in it, next to rows that stay.
#[tokio::test]
async fn erased_bytes_go_from_the_tables_files_when_their_owner_writes_them_anew() -> Outcome {
    let Some(server) = Postgres::launch(&[("autovacuum", "off")])? else { return Ok(()) };
    let base = Base::on(&server)?;
    let (catalog, scopes) = filled(&base).await?;
    for scope in &scopes {
        erase(&catalog, scope, &Subject::Customer(ERASED.to_owned())).await?;
    }
    catalog.close().await?;
    let files = server.folder().join("data/base");
    let mut owner = Session(PgConnection::connect(&base.owner_url()).await?);
    for (rewrite, is_left) in [("", true), ("VACUUM", true), ("VACUUM FULL", false)] {
        for table in ["audit_detail", "customer_profile", "quota"] {
            if !rewrite.is_empty() {
                owner.run(&format!("{rewrite} nilometer.{table}")).await?;
            }
        }
        base.sql("CHECKPOINT")?;
        assert_eq!(is_in_files(&files, ERASED.as_bytes())?, is_left, "after {rewrite:?}");
        assert!(is_in_files(&files, KEPT.as_bytes())?, "after {rewrite:?}");
    }
    Ok(())
}

//! Catalogs that are not what was written (F11): damage is told, and never taken for less data.

#![expect(clippy::disallowed_methods, reason = "these tests make damaged files")]

use std::fs;
use std::path::Path;

use domain::access::audit::{AuditDetail, AuditFilter, AuditHead};
use domain::tenant::TenantScope;
use domain::time::Timestamp;
use ports::ErrorKind;
use ports::catalog::Catalog;
use ports::references::References;
use ports::register::{AuditLog, Register, RegisterCommit, Revision};
use sea_orm::sqlx;

use crate::Outcome;
use crate::fixture;
use crate::place::{Folder, audit, kind};

/// What each of the reads answers.
async fn read(folder: &Folder) -> Result<[Option<ErrorKind>; 9], ports::PortError> {
    let catalog = folder.catalog().await?;
    Ok([
        kind(catalog.tenants().await),
        kind(catalog.settings().await),
        kind(catalog.wanted_zones().await),
        kind(catalog.reference_tables().await),
        kind(catalog.load(Revision(0), &mut |_| ()).await),
        kind(catalog.customer_profiles(&scope(), &["c-1".to_owned()]).await),
        kind(catalog.audit_entries(&scope(), &AuditFilter::default(), 9).await),
        kind(catalog.quotas().await),
        kind(catalog.carried_periods().await),
    ])
}

#[tokio::test]
async fn f11_a_row_is_checked_when_it_is_read() -> Outcome {
    for (damage, place) in [
        ("UPDATE tenant_settings SET max_lateness_sec = 1", 1),
        ("UPDATE tenant_settings SET max_lateness_sec = NULL", 1),
        ("UPDATE tenant_settings SET week_start = 'friday'", 1),
        ("UPDATE tenant_settings SET min_time_us = min_time_us + 1", 1),
        ("UPDATE tenant_settings SET min_time_us = NULL", 1),
        ("UPDATE wanted_zone SET zone = 'Europe/Paris'", 2),
        ("UPDATE wanted_zone SET version = version + 1", 2),
        ("UPDATE wanted_zone SET tenant = 'acne'", 2),
        ("UPDATE quota SET limit_max = limit_max + 1", 7),
        ("UPDATE quota SET limit_max = NULL", 7),
        ("UPDATE quota SET is_hard = 0", 7),
        ("UPDATE quota SET customer = ''", 7),
        ("UPDATE quota SET version = 2", 7),
        ("UPDATE quota_calendar SET month_to_us = month_to_us + 1", 8),
        ("UPDATE quota_calendar SET tenant = 'acne'", 8),
        ("UPDATE reference_table SET generation = 1", 3),
        ("UPDATE reference_table SET body = CAST(replace(body, 'free', 'paid') AS BLOB)", 3),
        ("UPDATE reference_table SET body = x''", 3),
        ("UPDATE reference_table SET tenant = 'acne'", 3),
    ] {
        let folder = Folder::new()?;
        fixture::write(&folder.file()).await?;
        sql(&folder.file(), damage).await?;
        let mut expected = [None; 9];
        expected[place] = Some(ErrorKind::Corrupt);
        assert_eq!(read(&folder).await?, expected, "{damage}");
    }
    Ok(())
}

/// What is sealed in each table of records, but the key's last use.
#[tokio::test]
async fn f11_a_record_is_checked_when_it_is_read() -> Outcome {
    for (table, columns, place) in [
        ("tenant", "name status audits_reads takes_external_tokens", 0),
        ("project", "tenant id name is_removed", 4),
        ("app_user", "id email email_folded name password_hash status", 4),
        ("membership", "tenant user_id role decrypts", 4),
        ("api_key", "tenant id origin hash project name scopes expires_us addresses revoked_us created_by", 4),
        ("signing_secret", "tenant id project name wrapped expires_us revoked_us created_by", 4),
        ("invitation", "tenant id email role token_hash expires_us closed_us created_by", 4),
        ("password_reset", "user_id token_hash expires_us closed_us", 4),
        ("session", "id user_id cookie_hash generation expires_us ended_us", 4),
        ("token_key", "kid wrapped retired_us", 4),
        ("encryption_rules", "tenant paths allows_deterministic", 4),
        ("data_key", "tenant number wrapped destroyed_us", 4),
        ("creation", "key_hash body_hash tenant made created_us expires_us revision seal", 4),
        ("customer_profile", "name attributes", 5),
    ] {
        let versioned = if table == "creation" { "" } else { "created_us updated_us version revision seal" };
        let whole = Folder::new()?;
        fixture::write(&whole.file()).await?;
        fixture::add_encryption(&whole.file()).await?;
        for column in columns.split(' ').chain(versioned.split_terminator(' ')) {
            // One row is enough, and leaves what is unique so.
            let row = format!("rowid = (SELECT max(rowid) FROM {table})");
            let damage = if column.ends_with("_us")
                || ["version", "revision", "seal", "scopes", "number"].contains(&column)
            {
                format!("UPDATE {table} SET {column} = coalesce({column}, 0) + 1 WHERE {row}")
            } else if column.starts_with("is_")
                || column.starts_with("takes_")
                || column.starts_with("allows_")
                || ["audits_reads", "decrypts"].contains(&column)
            {
                format!("UPDATE {table} SET {column} = NOT {column} WHERE {row}")
            } else if ["wrapped", "key_hash"].contains(&column) || column.ends_with("hash") && column != "password_hash"
            {
                format!("UPDATE {table} SET {column} = CAST('0123456789abcdef0123456789abcdef' AS BLOB) WHERE {row}")
            } else if column == "generation" {
                format!("UPDATE {table} SET {column} = 0 WHERE {row}")
            } else {
                format!("UPDATE {table} SET {column} = coalesce({column}, '') || 'x' WHERE {row}")
            };
            let folder = Folder::new()?;
            fs::copy(whole.file(), folder.file())?;
            sql(&folder.file(), &damage).await?;
            let mut expected = [None; 9];
            expected[place] = Some(ErrorKind::Corrupt);
            if place == 0 {
                expected[4] = Some(ErrorKind::Corrupt);
            }
            assert_eq!(read(&folder).await?, expected, "{damage}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn f11_a_tenant_is_without_a_checksum_only_as_it_was_before_there_were_any() -> Outcome {
    let folder = Folder::new()?;
    fixture::write(&folder.file()).await?;
    sql(&folder.file(), "UPDATE tenant SET seal = NULL").await?;
    assert_eq!(kind(folder.catalog().await?.tenants().await), Some(ErrorKind::Corrupt));
    Ok(())
}

/// Neither a revision that others have seen is given again, nor an entry chained to what is not the last.
#[tokio::test]
async fn f11_a_damaged_revision_or_head_takes_no_change() -> Outcome {
    for (damage, reads) in [
        ("UPDATE register_revision SET revision = 1", Some(ErrorKind::Corrupt)),
        ("DELETE FROM register_revision", Some(ErrorKind::Corrupt)),
        ("UPDATE audit_head SET seq = seq - 1 WHERE seq > 1", None),
        ("UPDATE audit_head SET hash = CAST('0123456789abcdef0123456789abcdef' AS BLOB)", None),
        ("DELETE FROM audit_head", None),
        (
            "DELETE FROM audit_entry AS last WHERE seq = (SELECT max(seq) FROM audit_entry WHERE chain = last.chain)",
            None,
        ),
        ("DELETE FROM audit_entry", None),
    ] {
        let folder = Folder::new()?;
        fixture::write(&folder.file()).await?;
        sql(&folder.file(), damage).await?;
        let catalog = folder.catalog().await?;
        assert_eq!(kind(catalog.load(Revision(0), &mut |_| ()).await), reads, "{damage}");
        let audit = audit(&scope(), Timestamp::MIN);
        let commit = RegisterCommit { audit: vec![audit], ..RegisterCommit::default() };
        let told = kind(folder.catalog().await?.commit(&commit).await);
        assert_eq!(told, Some(ErrorKind::Corrupt), "{damage}");
    }
    Ok(())
}

/// A chain whose head is gone is found all the same.
#[tokio::test]
async fn f11_a_chain_without_its_head_is_still_a_chain() -> Outcome {
    let folder = Folder::new()?;
    fixture::write(&folder.file()).await?;
    sql(&folder.file(), "DELETE FROM audit_head").await?;
    let heads = folder.catalog().await?.audit_heads().await?;
    let none = AuditHead::default();
    assert_eq!(heads, [(None, none), (Some(scope().tenant().clone()), none)]);
    sql(&folder.file(), "UPDATE audit_entry SET hash = x'00'").await?;
    let told = folder.catalog().await?.audit_chain(None, 0, 9).await;
    assert_eq!(kind(told), Some(ErrorKind::Corrupt), "no hash has one byte");
    Ok(())
}

/// Found in November 2026: nothing of that log could be read any more, neither page by page nor by `verify`.
#[tokio::test]
async fn f11_an_entry_whose_detail_is_missing_is_read_without_it() -> Outcome {
    let folder = Folder::new()?;
    fixture::write(&folder.file()).await?;
    let whole = folder.catalog().await?.audit_chain(None, 0, usize::MAX).await?;
    sql(&folder.file(), "DELETE FROM audit_detail WHERE chain = '' AND seq = 1").await?;
    let catalog = folder.catalog().await?;
    let chain = catalog.audit_chain(None, 0, usize::MAX).await?;
    let first = chain.first().ok_or("no entry")?;
    assert!(matches!(first.detail, AuditDetail::Missing { .. }), "{first:?}");
    assert!(first.follows(AuditHead::default()), "the chain holds");
    assert_eq!((&first.draft.address, &first.draft.request_id, &first.draft.after), (&None, &None, &None));
    assert_eq!(chain[1..], whole[1..]);
    let mut listed = catalog.server_audit_entries(&AuditFilter::default(), usize::MAX).await?;
    listed.reverse();
    assert_eq!(listed, chain);
    Ok(())
}

/// What docs/operations.md tells the operator to run on a chain that has lost its head.
#[tokio::test]
async fn a_head_that_is_noted_anew_takes_changes_again() -> Outcome {
    let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md"));
    let statement = page.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next());
    let statement = statement.ok_or("no statement")?.replace("'acme'", &format!("'{}'", scope().tenant()));
    let folder = Folder::new()?;
    fixture::write(&folder.file()).await?;
    let heads = folder.catalog().await?.audit_heads().await?;
    sql(&folder.file(), &format!("DELETE FROM audit_head WHERE chain = '{}'", scope().tenant())).await?;
    sql(&folder.file(), &statement).await?;
    let catalog = folder.catalog().await?;
    assert_eq!(catalog.audit_heads().await?, heads);
    let audit = vec![audit(&scope(), Timestamp::MIN)];
    catalog.commit(&RegisterCommit { audit, ..RegisterCommit::default() }).await?;
    Ok(())
}

fn scope() -> TenantScope {
    TenantScope::for_operator(fixture::acme())
}

#[tokio::test]
async fn a_manifest_in_the_place_of_a_catalog_is_refused_and_left_alone() -> Outcome {
    let folder = Folder::new()?;
    manifest::SqliteManifest::open(&folder.file()).await?.close().await?;
    let before = fs::read(folder.file())?;
    assert_eq!(kind(folder.catalog().await), Some(ErrorKind::Unacceptable));
    assert_eq!(fs::read(folder.file())?, before);
    Ok(())
}

/// Runs a statement on a file behind the program's back.
pub(crate) async fn sql(path: &Path, statement: &str) -> Outcome {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let pool = sqlx::SqlitePool::connect_with(options).await?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&pool).await?;
    pool.close().await;
    Ok(())
}

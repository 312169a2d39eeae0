//! F23: the connection is cut when PostgreSQL has made a commit and its answer is on the way.

use catalog::postgres::PostgresCatalog;
use domain::access::audit::AuditFilter;
use domain::access::record::{Project, Record, Versioned};
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use ports::ErrorKind;
use ports::catalog::{Catalog, TenantSettings};
use ports::register::{AuditLog, Register, RegisterCommit, Revision};
use testservers::Cutter;

use super::place::{Base, limits};
use crate::Outcome;
use crate::place::{audit, kind};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f23_a_commit_whose_answer_is_lost_is_unavailable_and_counts_once() -> Outcome {
    let Some(base) = Base::new()? else { return Ok(()) };
    base.migrate().await?;
    let way = Cutter::new(&base.app_url())?;
    let catalog = PostgresCatalog::open(way.url(), &limits()).await?;
    let scope = TenantScope::for_operator(TenantId::default_tenant());
    let mut versioned = Versioned::new(Timestamp::MIN);
    for version in 1..6 {
        let (workspace, name) = (scope.tenant().clone(), String::new());
        let project = Project { workspace, id: "web".into(), name, is_removed: false, versioned };
        let records = vec![Record::Project(project)];
        let audit = vec![audit(&scope, Timestamp::MIN)];
        let commit = RegisterCommit { records, audit, ..RegisterCommit::default() };
        way.cut_commits(1);
        assert_eq!(kind(catalog.commit(&commit).await), Some(ErrorKind::Unavailable));
        assert_eq!(way.left(), 0, "it was cut");
        assert_eq!(catalog.poisoned(), None);
        // Who reads what is new sees that it counts; who repeats it is told, and it counts no second time.
        assert_eq!(catalog.load(Revision(version - 1), &mut drop).await?, Revision(version));
        assert_eq!(kind(catalog.commit(&commit).await), Some(ErrorKind::Conflict));
        assert_eq!(catalog.audit_entries(&scope, &AuditFilter::default(), 99).await?.len() as u64, version);
        versioned = versioned.next(Timestamp::MIN);
    }
    way.cut_commits(1);
    let decided = TenantSettings { retention_days: Some(3), ..TenantSettings::default() };
    let told = kind(catalog.store_settings(&scope, &decided, &audit(&scope, Timestamp::MIN)).await);
    assert_eq!(told, Some(ErrorKind::Unavailable));
    assert_eq!(catalog.settings().await?, [(scope.tenant().clone(), decided)]);
    Ok(())
}

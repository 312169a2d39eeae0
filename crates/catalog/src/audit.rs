//! The audit log: one chain of entries per workspace and one of the server. An entry is written in the transaction of
//! the change that it tells of, behind the last one of its chain.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::access::audit::{
    AuditDraft, AuditEntry, AuditFilter, AuditHead, ERASURE_ACTION, SALT_BYTES, WORKSPACE_ERASURE_ACTION, split_target,
};
use domain::access::erased_details::{DETAILS_ERASURE_ACTION, ErasedDetails};
use domain::limits::PAGE_BYTES_MAX;
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use futures::TryStreamExt;
use ports::register::AuditLog;
use ports::{ErrorKind, PortError, held};
use ring::rand::{SecureRandom, SystemRandom};
use sea_orm::sea_query::{Condition, Expr, OnConflict, UnionType};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, InsertMany, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect, QueryTrait, Select, SelectTwo, StreamTrait, UpdateMany,
};
use sqlite::{Failure, signed, unsigned};

use crate::entities::audit_entry::{self, Column, Entity};
use crate::entities::columns::{workspace, workspace_text};
use crate::entities::{audit_detail, audit_head};
use crate::sqlite_catalog::SqliteCatalog;

const READ: &str = "read the audit log in";
/// Details that are looked through at once.
const DETAILS_AT_ONCE: u64 = 1_000;

/// Entries, each with its detail.
pub(crate) type Detailed = SelectTwo<Entity, audit_detail::Entity>;

#[async_trait]
impl AuditLog for SqliteCatalog {
    async fn audit_entries(
        &self,
        scope: &TenantScope,
        filter: &AuditFilter,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, PortError> {
        self.page(newest(Some(scope.tenant()), filter, limit)).await
    }

    async fn server_audit_entries(&self, filter: &AuditFilter, limit: usize) -> Result<Vec<AuditEntry>, PortError> {
        self.page(newest(None, filter, limit)).await
    }

    async fn audit_heads(&self) -> Result<Vec<(Option<TenantId>, AuditHead)>, PortError> {
        let read = async {
            let snapshot = self.file.snapshot().await?;
            let mut heads = BTreeMap::new();
            // Chains whose head is missing are there as well.
            let mut chain = first_chain_after(None).into_tuple::<String>().one(&snapshot).await?;
            while let Some(name) = chain {
                chain = first_chain_after(Some(&name)).into_tuple().one(&snapshot).await?;
                heads.insert(workspace(&name)?, AuditHead::default());
            }
            for row in audit_head::Entity::find().all(&snapshot).await? {
                heads.insert(workspace(&row.chain)?, row.head()?);
            }
            Ok(heads.into_iter().collect())
        };
        read.await.map_err(|failure| self.file.failed(READ, failure))
    }

    async fn audit_chain(
        &self,
        workspace: Option<&TenantId>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, PortError> {
        self.entries(oldest(workspace, after, limit)).await
    }
}

impl SqliteCatalog {
    /// Reads a page. The database goes on with what the caller gives up, so what the caller holds stays until it has
    /// ended.
    async fn page(&self, wanted: Detailed) -> Result<Vec<AuditEntry>, PortError> {
        let (readers, held) = (self.file.readers().clone(), held::current());
        let reading = tokio::spawn(async move {
            let _held = held;
            page_of(&readers, wanted).await
        });
        let read = reading.await.map_err(|why| PortError::new(ErrorKind::Unavailable, READ).because(why))?;
        read.map_err(|failure| self.file.failed(READ, failure))
    }

    async fn entries(&self, wanted: Detailed) -> Result<Vec<AuditEntry>, PortError> {
        entries_of(self.file.readers(), wanted).await.map_err(|failure| self.file.failed(READ, failure))
    }
}

/// All entries that are wanted.
pub(crate) async fn entries_of(readers: &impl ConnectionTrait, wanted: Detailed) -> Result<Vec<AuditEntry>, Failure> {
    let rows = wanted.all(readers).await?;
    rows.into_iter().map(|(row, detail)| row.into_entry(detail)).collect()
}

/// Entries up to the one with which they are as long as a page may be. Rows behind it are not read.
pub(crate) async fn page_of(
    readers: &(impl ConnectionTrait + StreamTrait),
    wanted: Detailed,
) -> Result<Vec<AuditEntry>, Failure> {
    let mut rows = wanted.stream(readers).await?;
    let (mut entries, mut bytes) = (Vec::new(), 0);
    while bytes < PAGE_BYTES_MAX
        && let Some((row, detail)) = rows.try_next().await?
    {
        let entry = row.into_entry(detail)?;
        bytes += entry.bytes();
        entries.push(entry);
    }
    Ok(entries)
}

/// Adds an entry about a change of one tenant's.
pub(crate) async fn append_one(
    transaction: &DatabaseTransaction,
    tenant: &TenantId,
    draft: &AuditDraft,
) -> Result<(), Failure> {
    if draft.workspace.as_ref() != Some(tenant) {
        return Err(Failure::unacceptable("the audit entry is for another log"));
    }
    append(transaction, std::slice::from_ref(draft)).await
}

/// Adds entries to the chains that they are for.
pub(crate) async fn append(transaction: &DatabaseTransaction, drafts: &[AuditDraft]) -> Result<(), Failure> {
    let mut heads = BTreeMap::new();
    for draft in drafts {
        let chain = workspace_text(draft.workspace.as_ref());
        let head = match heads.get(&chain) {
            Some(head) => *head,
            None => head_of(transaction, &chain).await?,
        };
        let entry = AuditEntry::after(head, draft.clone(), salt()?);
        heads.insert(chain, entry.head());
        let (entry, detail) = audit_entry::Model::new(entry)?;
        Entity::insert(entry.into_active_model()).exec_without_returning(transaction).await?;
        audit_detail::Entity::insert(detail.into_active_model()).exec_without_returning(transaction).await?;
    }
    for (chain, head) in heads {
        note_head(audit_head::Model::new(chain, head)?).exec_without_returning(transaction).await?;
    }
    Ok(())
}

/// What makes the hash of a detail say nothing about it.
fn salt() -> Result<[u8; SALT_BYTES], Failure> {
    let mut salt = [0; SALT_BYTES];
    let filled = SystemRandom::new().fill(&mut salt);
    filled.map_err(|_| std::io::Error::other("the operating system gave no randomness"))?;
    Ok(salt)
}

/// Removes the details of a chain that `takes` names: erased by the last entry about an erasure, that of `target` if it is
/// given, and told by a further entry. Without an entry about an erasure all stay. Returns how many went.
pub(crate) async fn erase_details(
    transaction: &DatabaseTransaction,
    workspace: Option<&TenantId>,
    target: Option<&str>,
    takes: impl Fn(&AuditEntry) -> bool,
) -> Result<u64, Failure> {
    let chain = workspace_text(workspace);
    let by = last_erasure(&chain).apply_if(target, |select, target| select.filter(Column::Target.eq(target)));
    let Some(by) = by.one(transaction).await? else { return Ok(0) };
    let (mut last, mut erased) = (0, 0);
    loop {
        let rows = details_after(&chain, last).all(transaction).await?;
        let Some((row, _)) = rows.last() else { break };
        last = row.seq;
        for (row, detail) in rows {
            let Some(detail) = detail else { continue };
            if takes(&row.clone().into_entry(Some(detail))?) {
                audit_detail::Entity::delete_by_id((chain.clone(), row.seq)).exec(transaction).await?;
                note_erased(&chain, row.seq, by.seq).exec(transaction).await?;
                erased += 1;
            }
        }
    }
    if erased > 0 {
        tell_erased(transaction, workspace, &by).await?;
    }
    Ok(erased)
}

/// Adds the entry which says what details have gone by an erasure. It keeps none itself.
async fn tell_erased(
    transaction: &DatabaseTransaction,
    workspace: Option<&TenantId>,
    by: &audit_entry::Model,
) -> Result<(), Failure> {
    let mut erased = ErasedDetails::default();
    for seq in erased_by(&by.chain, by.seq).into_tuple::<i64>().all(transaction).await? {
        erased.add(unsigned("seq", seq)?);
    }
    let draft = erased.draft(workspace, Timestamp::from_micros(by.at_us), unsigned("seq", by.seq)?);
    append(transaction, &[draft]).await?;
    let seq = signed("seq", head_of(transaction, &by.chain).await?.seq)?;
    audit_detail::Entity::delete_by_id((by.chain.clone(), seq)).exec(transaction).await?;
    note_erased(&by.chain, seq, by.seq).exec(transaction).await?;
    Ok(())
}

/// The numbers of a chain's entries whose details have gone by an erasure, in order.
pub(crate) fn erased_by(chain: &str, by: i64) -> Select<Entity> {
    let entries = Entity::find().select_only().column(Column::Seq).filter(Column::Chain.eq(chain));
    let erased = entries.filter(Column::ErasedBy.eq(by)).filter(Column::Action.ne(DETAILS_ERASURE_ACTION));
    erased.order_by_asc(Column::Seq)
}

/// The newest entry of a chain about an erasure.
pub(crate) fn last_erasure(chain: &str) -> Select<Entity> {
    let action = if chain.is_empty() { WORKSPACE_ERASURE_ACTION } else { ERASURE_ACTION };
    last_of(chain).filter(Column::Action.eq(action))
}

/// The first entries behind one of them.
pub(crate) fn details_after(chain: &str, after: i64) -> Detailed {
    let entries = Entity::find().filter(Column::Chain.eq(chain)).filter(Column::Seq.gt(after));
    let entries = entries.filter(Column::DetailHash.is_not_null()).filter(Column::ErasedBy.is_null());
    entries.order_by_asc(Column::Seq).limit(DETAILS_AT_ONCE).find_also_related(audit_detail::Entity)
}

/// The statement that notes by which entry's erasure a detail has gone.
pub(crate) fn note_erased(chain: &str, seq: i64, by: i64) -> UpdateMany<Entity> {
    let update = Entity::update_many().filter(Column::Chain.eq(chain)).filter(Column::Seq.eq(seq));
    update.col_expr(Column::ErasedBy, Expr::value(by))
}

/// The head of a chain. Nothing is chained to a head that is not the last entry.
async fn head_of(transaction: &DatabaseTransaction, chain: &str) -> Result<AuditHead, Failure> {
    let noted = audit_head::Entity::find_by_id(chain).one(transaction).await?;
    let noted = noted.map(|row| row.head()).transpose()?.unwrap_or_default();
    let last = last_of(chain).one(transaction).await?.map(|row| row.head()).transpose()?.unwrap_or_default();
    if noted == last {
        Ok(noted)
    } else {
        Err(Failure::corrupt(format!("the audit log {chain:?} does not end with its head")))
    }
}

/// The newest entries of a chain that fit.
pub(crate) fn newest(workspace: Option<&TenantId>, filter: &AuditFilter, limit: usize) -> Detailed {
    let AuditFilter { actor, action, target, from, to, before } = filter;
    let before = before.map(|before| i64::try_from(before).unwrap_or(i64::MAX));
    // Numbers follow the time, but not strictly. Were the time asked for of the entries themselves, one in the past
    // would be looked for from the newest entry on.
    let numbers = (from.is_some() || to.is_some()).then(|| numbers_of_time(workspace, *from, *to).into_query());
    of_chain(workspace)
        .apply_if(actor.as_ref(), |select, actor| select.filter(Column::Actor.eq(actor)))
        .apply_if(action.as_ref(), |select, action| select.filter(Column::Action.eq(action)))
        .apply_if(target.as_ref(), |select, target| select.filter(of_target(workspace, target)))
        .apply_if(before, |select, before| select.filter(Column::Seq.lt(before)))
        .apply_if(numbers, |select, numbers| select.filter(Column::Seq.in_subquery(numbers)))
        .order_by_desc(Column::Seq)
        .limit(rows(limit))
        .find_also_related(audit_detail::Entity)
}

/// Entries on this target. One with a name of its own is whole in the detail, or in an entry of format 1.
fn of_target(workspace: Option<&TenantId>, target: &str) -> Condition {
    if split_target(target).1.is_none() {
        return Condition::all().add(Column::Target.eq(target));
    }
    let whole = of_chain(workspace).select_only().column(Column::Seq).filter(Column::Target.eq(target));
    let named = audit_detail::Entity::find().select_only().column(audit_detail::Column::Seq);
    let named = named.filter(audit_detail::Column::Chain.eq(workspace_text(workspace)));
    let named = named.filter(audit_detail::Column::Target.eq(target)).into_query();
    let either = whole.into_query().union(UnionType::Distinct, named).to_owned();
    Condition::all().add(Column::Seq.in_subquery(either))
}

fn numbers_of_time(workspace: Option<&TenantId>, from: Option<Timestamp>, to: Option<Timestamp>) -> Select<Entity> {
    of_chain(workspace)
        .select_only()
        .column(Column::Seq)
        .apply_if(from, |select, from| select.filter(Column::AtUs.gte(from.micros())))
        .apply_if(to, |select, to| select.filter(Column::AtUs.lt(to.micros())))
}

/// The oldest entries of a chain behind one of them.
pub(crate) fn oldest(workspace: Option<&TenantId>, after: u64, limit: usize) -> Detailed {
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    of_chain(workspace)
        .filter(Column::Seq.gt(after))
        .order_by_asc(Column::Seq)
        .limit(rows(limit))
        .find_also_related(audit_detail::Entity)
}

fn of_chain(workspace: Option<&TenantId>) -> Select<Entity> {
    Entity::find().filter(Column::Chain.eq(workspace_text(workspace)))
}

/// A limit, which SQL takes up to 2^63.
fn rows(limit: usize) -> u64 {
    u64::try_from(limit).map_or(i64::MAX as u64, |limit| limit.min(i64::MAX as u64))
}

/// The name of the first chain behind another.
pub(crate) fn first_chain_after(chain: Option<&str>) -> Select<Entity> {
    Entity::find()
        .select_only()
        .column(Column::Chain)
        .apply_if(chain, |select, chain| select.filter(Column::Chain.gt(chain)))
        .order_by_asc(Column::Chain)
        .order_by_asc(Column::Seq)
        .limit(1)
}

/// The last entry of a chain.
pub(crate) fn last_of(chain: &str) -> Select<Entity> {
    Entity::find().filter(Column::Chain.eq(chain)).order_by_desc(Column::Seq).limit(1)
}

/// The statement that notes the head of a chain.
pub(crate) fn note_head(head: audit_head::Model) -> InsertMany<audit_head::ActiveModel> {
    use audit_head::{Column, Entity};
    let newest_stays = OnConflict::column(Column::Chain).update_columns([Column::Seq, Column::Hash]).to_owned();
    Entity::insert_many([head.into_active_model()]).on_conflict(newest_stays)
}

//! The dictionary of users. Numbers run from 0 without a gap, so a page is found by division; how
//! many there are stands in a row of its own, so that a lost page is noticed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::tenant::TenantId;
use domain::users::UserNumber;
use ports::active_users::VersionedZone;
use ports::manifest::NewUsers;
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect,
};
use sqlite::Failure;

use super::insert::insert;
use crate::entities::tenant_users;
use crate::entities::user_page::{self, PAGE_USERS, page_of};

/// Pages in one statement; one of 1,024 names is about 20 KB, and at most 260 KB.
const PAGES_MAX: usize = 64;

/// What is known of the users of all tenants.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) users: Vec<(TenantId, Vec<String>)>,
    pub(super) zones: Vec<(TenantId, VersionedZone)>,
}

/// Numbers new users, each tenant's from where the ones before end.
pub(super) async fn add(transaction: &DatabaseTransaction, new: &[NewUsers]) -> Result<(), Failure> {
    for new in new {
        let mut row = tenant(transaction, &new.tenant).await?;
        let known = row.count()?;
        if known != new.first {
            let reason = format!("tenant {} has {known} users, not {}", new.tenant.as_str(), new.first);
            return Err(Failure::conflict(reason));
        }
        if new.names.is_empty() {
            continue;
        }
        let many = || Failure::unacceptable("a tenant's users have no numbers left");
        let count = u32::try_from(new.names.len()).ok().and_then(|added| known.checked_add(added)).ok_or_else(many)?;
        row.users = count.into();
        store_tenant(transaction, row).await?;
        add_pages(transaction, new).await?;
    }
    Ok(())
}

/// Sets the zone that a tenant's days are of.
pub(super) async fn set_zone(
    transaction: &DatabaseTransaction,
    of: &TenantId,
    applied: &VersionedZone,
) -> Result<(), Failure> {
    let mut row = tenant(transaction, of).await?;
    row.set_zone(applied)?;
    store_tenant(transaction, row).await
}

/// Empties the names of these users; a number that is not given is left out.
pub(super) async fn erase(
    transaction: &DatabaseTransaction,
    of: &TenantId,
    users: &[UserNumber],
) -> Result<(), Failure> {
    let mut by_page: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for user in users {
        by_page.entry(page_of(user.0)).or_default().push(user.0 % PAGE_USERS);
    }
    for (page, places) in by_page {
        let row = user_page::Entity::find_by_id((of.as_str().to_owned(), i64::from(page))).one(transaction).await?;
        let Some(row) = row.map(user_page::Model::verified).transpose()? else { continue };
        let mut emptied = user_page::Model::new(of, page);
        for (place, name) in (0_u32..).zip(row.names()?) {
            emptied.push(if places.contains(&place) { "" } else { name });
        }
        emptied.sealed().into_active_model().reset_all().update(transaction).await?;
    }
    Ok(())
}

/// Reads all of it, and refuses a dictionary that lost a page.
pub(super) async fn read(snapshot: &impl ConnectionTrait) -> Result<Known, Failure> {
    let mut known = Known::default();
    let mut pages = 0;
    for row in tenant_users::Entity::find().order_by_asc(tenant_users::Column::Tenant).all(snapshot).await? {
        let row = row.verified()?;
        let (tenant, count) = (row.tenant()?, row.count()?);
        if count > 0 {
            pages += u64::from(page_of(count - 1)) + 1;
            known.users.push((tenant.clone(), names(snapshot, &tenant, count).await?));
        }
        known.zones.extend(row.zone()?.map(|zone| (tenant, zone)));
    }
    if user_page::Entity::find().count(snapshot).await? != pages {
        return Err(Failure::corrupt("it has pages of users that belong to no tenant"));
    }
    Ok(known)
}

/// The names of these users; `None` for numbers that are not given. Reads only the pages they are on.
pub(super) async fn names_of(
    snapshot: &impl ConnectionTrait,
    of: &TenantId,
    users: &[UserNumber],
) -> Result<Vec<Option<String>>, Failure> {
    let count = tenant(snapshot, of).await?.count()?;
    let wanted: BTreeSet<_> = users.iter().filter(|user| user.0 < count).map(|user| user.0).collect();
    let pages: Vec<_> = wanted.iter().map(|user| page_of(*user)).collect::<BTreeSet<_>>().into_iter().collect();
    let mut names = HashMap::with_capacity(wanted.len());
    for numbers in pages.chunks(PAGES_MAX) {
        let rows = user_page::Entity::find()
            .filter(user_page::Column::Tenant.eq(of.as_str()))
            .filter(user_page::Column::Page.is_in(numbers.iter().map(|page| i64::from(*page))))
            .order_by_asc(user_page::Column::Page);
        let rows = rows.all(snapshot).await?;
        if rows.len() != numbers.len() {
            return Err(lost(of));
        }
        for (page, row) in numbers.iter().zip(rows) {
            let row = row.verified()?;
            let on_page = row.names()?;
            let first = page * PAGE_USERS;
            for user in wanted.range(first..).take_while(|user| page_of(**user) == *page) {
                let name = usize::try_from(user - first).ok().and_then(|place| on_page.get(place));
                names.insert(*user, (*name.ok_or_else(|| lost(of))?).to_owned());
            }
        }
    }
    Ok(users.iter().map(|user| names.get(&user.0).cloned()).collect())
}

/// All names of a tenant, some pages at a time.
async fn names(snapshot: &impl ConnectionTrait, of: &TenantId, count: u32) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    let mut next = 0;
    while next <= page_of(count - 1) {
        let pages = user_page::Entity::find()
            .filter(user_page::Column::Tenant.eq(of.as_str()))
            .filter(user_page::Column::Page.gte(next))
            .order_by_asc(user_page::Column::Page)
            .limit(PAGES_MAX as u64);
        let pages = pages.all(snapshot).await?;
        if pages.is_empty() {
            return Err(lost(of));
        }
        for page in pages {
            let page = page.verified()?;
            names.extend(page.names()?.into_iter().map(str::to_owned));
            let full = usize::try_from((i64::from(next) + 1) * i64::from(PAGE_USERS)).unwrap_or(usize::MAX);
            if page.page != i64::from(next) || names.len() != full.min(count as usize) {
                return Err(lost(of));
            }
            next += 1;
        }
    }
    Ok(names)
}

/// The row of a tenant; a new one when it has none.
async fn tenant(connection: &impl ConnectionTrait, of: &TenantId) -> Result<tenant_users::Model, Failure> {
    let row = tenant_users::Entity::find_by_id(of.as_str()).one(connection).await?;
    row.map_or_else(|| Ok(tenant_users::Model::new(of)), tenant_users::Model::verified)
}

async fn store_tenant(transaction: &DatabaseTransaction, row: tenant_users::Model) -> Result<(), Failure> {
    use tenant_users::{Column, Entity};
    let changed = [Column::Users, Column::Zone, Column::ZoneVersion, Column::Seal];
    let newest_stays = OnConflict::column(Column::Tenant).update_columns(changed).to_owned();
    let row = Entity::insert_many([row.sealed().into_active_model()]).on_conflict(newest_stays);
    row.exec_without_returning(transaction).await?;
    Ok(())
}

/// Fills the last page up and appends new ones.
async fn add_pages(transaction: &DatabaseTransaction, new: &NewUsers) -> Result<(), Failure> {
    use user_page::{Column, Entity, Model};
    let newest_stays =
        OnConflict::columns([Column::Tenant, Column::Page]).update_columns([Column::Seal, Column::Names]).to_owned();
    let mut number = page_of(new.first);
    let used = new.first % PAGE_USERS;
    let mut page = Model::new(&new.tenant, number);
    if used > 0 {
        let last = Entity::find_by_id((page.tenant.clone(), page.page)).one(transaction).await?;
        page = last.ok_or_else(|| lost(&new.tenant))?.verified()?;
    }
    let mut rows = Vec::new();
    let (mut names, mut room) = (new.names.as_slice(), PAGE_USERS - used);
    while !names.is_empty() {
        let (here, rest) = names.split_at(names.len().min(room as usize));
        here.iter().for_each(|name| page.push(name));
        rows.push(page.sealed());
        (names, room, number) = (rest, PAGE_USERS, number + 1);
        page = Model::new(&new.tenant, number);
        if rows.len() == PAGES_MAX {
            insert(transaction, std::mem::take(&mut rows), &newest_stays).await?;
        }
    }
    insert(transaction, rows, &newest_stays).await
}

fn lost(of: &TenantId) -> Failure {
    Failure::corrupt(format!("users of tenant {:?} are gone", of.as_str()))
}

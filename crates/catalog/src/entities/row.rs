//! What all tables of records have in common: a checksum over every column, and how the next version of a row takes
//! the place of the one before.

use domain::access::record::Record;
use sea_orm::ActiveModelTrait;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityName, EntityTrait, IdenStatic, IntoActiveModel, Iterable, ModelTrait,
    PrimaryKeyToColumn, QueryFilter, Value,
};
use sqlite::{Failure, Seal};

/// The checksum itself, and what changes without a new version: neither is under the checksum.
const UNSEALED: [&str; 2] = ["seal", "last_used_us"];
/// What rows of earlier formats do not have: it is under the checksum of those that have it, with its name, and the
/// checksum of others stays what it was.
const LATER: [&str; 3] = ["requests_per_sec", "events_per_sec", "decrypts"];

/// A row of a table of records.
pub(crate) trait Row:
    ModelTrait<Entity: EntityTrait<Model = Self, ActiveModel: Send>>
    + IntoActiveModel<<<Self as ModelTrait>::Entity as EntityTrait>::ActiveModel>
{
    /// The record it is of.
    type Record;

    /// The row of a record, without its checksum.
    fn new(record: &Self::Record, revision: i64) -> Result<Self, Failure>;

    /// The record of a row whose checksum holds.
    fn into_record(self) -> Result<Record, Failure>;

    /// Its version; 1 of what has none.
    fn version(&self) -> i64;

    /// Its checksum.
    fn seal(&self) -> Option<i64>;

    /// Sets its checksum.
    fn set_seal(&mut self, seal: i64);

    /// Whether it may be without a checksum.
    fn may_be_unsealed(&self) -> bool {
        false
    }

    /// Refuses a row that is not what was written.
    fn check(&self) -> Result<(), Failure> {
        let is_whole = self.seal().map_or(self.may_be_unsealed(), |seal| seal == expected_seal(self));
        if is_whole { Ok(()) } else { Err(damaged(self)) }
    }

    /// The record, if it is what was written.
    fn read(self) -> Result<Record, Failure> {
        self.check()?;
        self.into_record()
    }
}

/// The row of a record with its checksum.
pub(crate) fn sealed<R: Row>(record: &R::Record, revision: i64) -> Result<R, Failure> {
    let mut row = R::new(record, revision)?;
    row.set_seal(expected_seal(&row));
    Ok(row)
}

/// A row as of another revision.
#[cfg(feature = "postgres")]
pub(crate) fn resealed<R: Row>(mut row: R, revision: i64) -> Result<R, Failure> {
    for column in <R::Entity as EntityTrait>::Column::iter().filter(|column| column.as_str() == "revision") {
        row.try_set(column, revision.into())?;
    }
    row.set_seal(expected_seal(&row));
    Ok(row)
}

fn expected_seal<M: ModelTrait>(row: &M) -> i64 {
    let columns = <M::Entity as EntityTrait>::Column::iter().filter(|column| !UNSEALED.contains(&column.as_str()));
    let covered = columns.fold(Seal::default(), |seal, column| match (row.get(column), column.as_str()) {
        (Value::BigInt(None) | Value::Bool(None), name) if LATER.contains(&name) => seal,
        (value, name) if LATER.contains(&name) => cover(seal.bytes(name.as_bytes()), &value),
        (value, _) => cover(seal, &value),
    });
    covered.value()
}

/// What is missing counts as a number that nothing else begins with.
fn cover(seal: Seal, value: &Value) -> Seal {
    match value {
        Value::BigInt(Some(number)) => seal.int(1).int(*number),
        Value::Bool(Some(is)) => seal.int(1).int(i64::from(*is)),
        Value::String(Some(text)) => seal.int(1).bytes(text.as_bytes()),
        Value::Bytes(Some(bytes)) => seal.int(1).bytes(bytes),
        _ => seal.int(0),
    }
}

fn damaged<M: ModelTrait>(row: &M) -> Failure {
    let key = key_columns::<M::Entity>().filter_map(|column| match row.get(column) {
        Value::String(text) => text,
        _ => None,
    });
    let key: Vec<_> = key.collect();
    Failure::corrupt(format!("the row {key:?} of {} is damaged", <M::Entity as Default>::default().table_name()))
}

/// The columns that a row is found by.
pub(crate) fn key_columns<E: EntityTrait>() -> impl Iterator<Item = E::Column> {
    E::PrimaryKey::iter().map(PrimaryKeyToColumn::into_column)
}

/// The columns that changed rows are read in order of.
pub(crate) fn order_columns<E: EntityTrait>() -> impl Iterator<Item = E::Column> {
    let revision = E::Column::iter().filter(|column| column.as_str() == "revision");
    revision.chain(key_columns::<E>())
}

/// Puts a row in place of its version before, which has to be there; the first version has to be new.
pub(crate) async fn store<R: Row>(transaction: &DatabaseTransaction, row: R) -> Result<(), Failure> {
    let before = row.version() - 1;
    if before == 0 {
        R::Entity::insert(row.into_active_model()).exec_without_returning(transaction).await?;
        return Ok(());
    }
    let update = update(row, before);
    let updated = update.exec(transaction).await?.rows_affected;
    if updated == 1 { Ok(()) } else { Err(Failure::conflict(format!("its version {before} is not what is stored"))) }
}

/// The statement that puts a row in the place of version `before`.
pub(crate) fn update<R: Row>(row: R, before: i64) -> sea_orm::UpdateMany<R::Entity> {
    let mut update = R::Entity::update_many().filter(Expr::col("version").eq(before));
    for column in key_columns::<R::Entity>() {
        update = update.filter(column.eq(row.get(column)));
    }
    let mut changed = row.into_active_model().reset_all();
    for column in <R::Entity as EntityTrait>::Column::iter() {
        if column.as_str() == "last_used_us" || key_columns::<R::Entity>().any(|key| key.as_str() == column.as_str()) {
            changed.not_set(column);
        }
    }
    update.set(changed)
}

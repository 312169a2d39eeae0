//! Inserts many rows in few statements.

use sea_orm::sea_query::OnConflict;
use sea_orm::{DatabaseTransaction, EntityTrait, IntoActiveModel, ModelTrait};
use sqlite::Failure;

/// Rows in one `INSERT`, a power of two.
const INSERT_ROWS_MAX: usize = 256;

/// How many of the rows that are left the next statement takes: a power of two, so that only a few different
/// statements are ever prepared and kept.
pub(super) fn length_of_next(left: usize) -> usize {
    1 << left.clamp(1, INSERT_ROWS_MAX).ilog2()
}

/// Inserts rows by the hundreds.
pub(super) async fn insert<M>(
    transaction: &DatabaseTransaction,
    rows: Vec<M>,
    on_conflict: &OnConflict,
) -> Result<(), Failure>
where
    M: ModelTrait + IntoActiveModel<<M::Entity as EntityTrait>::ActiveModel>,
    <M::Entity as EntityTrait>::ActiveModel: Send,
{
    let mut rows = rows.into_iter();
    while rows.len() > 0 {
        let length = length_of_next(rows.len());
        let batch: Vec<_> = rows.by_ref().take(length).map(IntoActiveModel::into_active_model).collect();
        let insert = <M::Entity as EntityTrait>::insert_many(batch).on_conflict(on_conflict.clone());
        insert.exec_without_returning(transaction).await?;
    }
    Ok(())
}

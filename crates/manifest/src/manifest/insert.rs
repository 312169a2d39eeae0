//! Inserts many rows in few statements.

use sea_orm::sea_query::OnConflict;
use sea_orm::{DatabaseTransaction, EntityTrait, IntoActiveModel, ModelTrait};
use sqlite::Failure;

/// Rows in one `INSERT`, a power of two.
const INSERT_ROWS_MAX: usize = 256;

/// Inserts rows by the hundreds. Statements are a power of two long, so that only a few different
/// ones are ever prepared and kept.
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
        let length = 1 << rows.len().min(INSERT_ROWS_MAX).ilog2();
        let batch: Vec<_> = rows.by_ref().take(length).map(IntoActiveModel::into_active_model).collect();
        let insert = <M::Entity as EntityTrait>::insert_many(batch).on_conflict(on_conflict.clone());
        insert.exec_without_returning(transaction).await?;
    }
    Ok(())
}

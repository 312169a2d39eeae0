//! What a step of the schema is made of.

use sea_orm::StatementBuilder;

/// Statements, which are made for the database that they run on.
pub(crate) type Changes = Vec<Box<dyn StatementBuilder + Send>>;

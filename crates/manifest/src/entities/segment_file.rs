//! The files of segments.

use ports::manifest::{FileKind, FileMeta};
use sea_orm::entity::prelude::*;
use sqlite::{Failure, Seal, signed, unsigned};

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "segment_file")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) segment_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) bytes: i64,
    pub(crate) blake3: Vec<u8>,
    pub(crate) rows: i64,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a file of this segment.
    pub(crate) fn new(segment_id: &str, file: &FileMeta) -> Result<Self, Failure> {
        Ok(Self {
            segment_id: segment_id.to_owned(),
            kind: file.kind.as_str().to_owned(),
            name: file.name.clone(),
            bytes: signed("bytes", file.bytes)?,
            blake3: file.blake3.to_vec(),
            rows: signed("rows", file.rows)?,
        })
    }

    pub(crate) fn into_file(self) -> Result<FileMeta, Failure> {
        let kind = FileKind::ALL.into_iter().find(|kind| kind.as_str() == self.kind);
        let blake3 = self.blake3.as_slice().try_into();
        Ok(FileMeta {
            kind: kind.ok_or_else(|| Failure::corrupt(format!("a file is of kind {:?}", self.kind)))?,
            bytes: unsigned("bytes", self.bytes)?,
            blake3: blake3.map_err(|_| Failure::corrupt(format!("the hash of {:?} is too short", self.name)))?,
            rows: unsigned("rows", self.rows)?,
            name: self.name,
        })
    }

    /// Adds this row to its segment's seal.
    pub(crate) fn cover(&self, seal: Seal) -> Seal {
        let texts = seal.bytes(self.kind.as_bytes()).bytes(self.name.as_bytes()).bytes(&self.blake3);
        texts.int(self.bytes).int(self.rows)
    }
}

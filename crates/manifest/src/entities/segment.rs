//! Segments. A row's seal covers its files too, so that a lost file row is noticed.

use domain::position::Seq;
use domain::time::Timestamp;
use ports::manifest::SegmentMeta;
use sea_orm::entity::prelude::*;
use sqlite::{Failure, Seal, signed, unsigned};

use super::segment_file;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "segment")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) level: i64,
    pub(crate) first_seq: i64,
    pub(crate) last_seq: i64,
    pub(crate) time_min_us: i64,
    pub(crate) time_max_us: i64,
    pub(crate) seal: i64,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a segment with these files.
    pub(crate) fn new(segment: &SegmentMeta, files: &[segment_file::Model]) -> Result<Self, Failure> {
        let row = Self {
            id: segment.id.clone(),
            level: i64::from(segment.level),
            first_seq: signed("first_seq", segment.first_seq.0)?,
            last_seq: signed("last_seq", segment.last_seq.0)?,
            time_min_us: segment.time_min.micros(),
            time_max_us: segment.time_max.micros(),
            seal: 0,
        };
        Ok(row.sealed(files))
    }

    /// This row with a seal that fits it and these files.
    #[must_use]
    pub(crate) fn sealed(mut self, files: &[segment_file::Model]) -> Self {
        self.seal = self.expected_seal(files);
        self
    }

    /// The segment, if it and its files are what was written.
    pub(crate) fn into_segment(self, files: Vec<segment_file::Model>) -> Result<SegmentMeta, Failure> {
        if self.seal != self.expected_seal(&files) {
            return Err(Failure::corrupt(format!("the seal of segment {:?} is broken", self.id)));
        }
        let level = u32::try_from(self.level).map_err(|_| Failure::corrupt("a segment's level is impossible"))?;
        let mut files = files.into_iter().map(segment_file::Model::into_file).collect::<Result<Vec<_>, _>>()?;
        files.sort_by_key(|file| file.kind);
        Ok(SegmentMeta {
            level,
            first_seq: unsigned("first_seq", self.first_seq).map(Seq)?,
            last_seq: unsigned("last_seq", self.last_seq).map(Seq)?,
            time_min: Timestamp::from_micros(self.time_min_us),
            time_max: Timestamp::from_micros(self.time_max_us),
            files,
            id: self.id,
        })
    }

    /// The files are covered in order of their kind's name, however they come.
    fn expected_seal(&self, files: &[segment_file::Model]) -> i64 {
        let numbers = [self.level, self.first_seq, self.last_seq, self.time_min_us, self.time_max_us];
        let own = numbers.into_iter().fold(Seal::default().bytes(self.id.as_bytes()), Seal::int);
        let mut files: Vec<_> = files.iter().collect();
        files.sort_by(|left, right| left.kind.cmp(&right.kind));
        files.into_iter().fold(own, |seal, file| file.cover(seal)).value()
    }
}

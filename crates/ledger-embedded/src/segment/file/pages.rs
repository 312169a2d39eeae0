//! Which pages of a file hold wanted rows, found by binary search in the sort order, and which of them
//! hold nothing else: of those the sort columns need not be read at all.

use std::collections::VecDeque;

use domain::time::{TimeRange, Timestamp};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::Result as ParquetResult;

use super::{Batches, KeyRange, PageBounds, ParquetFile, Span};

/// Rows handed out at once, at most: few columns, so few bytes.
const SCAN_ROWS: usize = 8_192;
/// Columns whose values may be large.
const LARGE: [&str; 3] = ["properties", "by_endpoint", "by_model"];

/// Some pages of a file.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    spans: VecDeque<Span>,
    /// Whether they hold rows of other tenants too.
    pub(crate) other_tenants: bool,
    /// Whether they hold rows of other times too.
    pub(crate) other_times: bool,
}

impl Pages {
    pub(crate) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }
}

/// The pages that hold wanted rows.
#[derive(Debug, Default)]
pub(crate) struct FoundPages {
    /// Pages with rows of the wanted tenant, grain and customer alone. For one customer, all their times are
    /// wanted too: few pages reach beyond, and no other page's times are read because of them.
    pub(crate) pure: Pages,
    /// Pages with other rows too.
    pub(crate) mixed: Pages,
}

/// Whether a page holds this text alone. A bound that was cut short differs from the text it stands for.
fn only(bounds: &(Vec<u8>, Vec<u8>), text: &str) -> bool {
    bounds.0.as_slice() == text.as_bytes() && text.as_bytes() == bounds.1.as_slice()
}

impl PageBounds {
    pub(super) fn span(&self) -> Span {
        Span { group: self.group, first: self.first_row, rows: self.rows }
    }

    fn is_pure(&self, wanted: &KeyRange<'_>) -> bool {
        self.is_of_tenant(wanted.tenant)
            && wanted.grain.is_none_or(|_| self.grain.0 == self.grain.1)
            && wanted.customer.is_none_or(|customer| only(&self.customer, customer))
    }

    fn is_of_tenant(&self, tenant: &str) -> bool {
        only(&self.tenant, tenant)
    }

    /// Whether all its rows certainly come before those wanted in the sort order.
    fn is_before(&self, wanted: &KeyRange<'_>) -> bool {
        let tenant = wanted.tenant.as_bytes();
        if self.tenant.1.as_slice() != tenant {
            return self.tenant.1.as_slice() < tenant;
        }
        self.tenant.0.as_slice() == tenant
            && (wanted.grain.is_some_and(|grain| self.grain.1 < i64::from(grain.code()))
                || wanted.customer.is_some_and(|customer| {
                    self.is_of_one_grain(wanted) && self.customer.1.as_slice() < customer.as_bytes()
                }))
    }

    /// Whether all its rows certainly come after those wanted.
    fn is_after(&self, wanted: &KeyRange<'_>) -> bool {
        let tenant = wanted.tenant.as_bytes();
        if self.tenant.0.as_slice() != tenant {
            return self.tenant.0.as_slice() > tenant;
        }
        self.tenant.1.as_slice() == tenant
            && (wanted.grain.is_some_and(|grain| self.grain.0 > i64::from(grain.code()))
                || wanted.customer.is_some_and(|customer| {
                    self.is_of_one_grain(wanted) && self.customer.0.as_slice() > customer.as_bytes()
                }))
    }

    /// Whether its customers are in order.
    fn is_of_one_grain(&self, wanted: &KeyRange<'_>) -> bool {
        self.grain.0 == self.grain.1 && wanted.grain.is_none_or(|grain| self.grain.0 == i64::from(grain.code()))
    }
}

impl ParquetFile {
    /// The pages between those that certainly come before and after. A page of several tenants or grains
    /// answers neither question, so the search may stop a little early, never late: every page before
    /// one that is before is before as well.
    pub(super) fn candidates(&self, wanted: &KeyRange<'_>) -> &[PageBounds] {
        let first = self.pages.partition_point(|page| page.is_before(wanted));
        let rest = &self.pages[first..];
        &rest[..rest.partition_point(|page| !page.is_after(wanted))]
    }

    /// The pages that may hold rows of `wanted` in one of `ranges`, which are in order and apart.
    pub(crate) fn find(&self, wanted: &KeyRange<'_>, ranges: &[TimeRange]) -> FoundPages {
        let mut found = FoundPages::default();
        for page in self.candidates(wanted).iter().filter(|page| page.may_hold(wanted)) {
            let (first, last) = (Timestamp::from_micros(page.time.0), Timestamp::from_micros(page.time.1));
            let next = ranges.partition_point(|range| range.to() <= first);
            let Some(range) = ranges.get(next).filter(|range| range.overlaps(first, last)) else { continue };
            let has_others = !(range.contains(first) && range.contains(last));
            let is_pure = page.is_pure(wanted) && !(has_others && wanted.customer.is_some());
            let pages = if is_pure { &mut found.pure } else { &mut found.mixed };
            pages.other_tenants |= !page.is_of_tenant(wanted.tenant);
            pages.other_times |= has_others;
            pages.spans.push_back(page.span());
        }
        found
    }

    /// Batches of all rows of these pages, in order; columns of few values come as dictionaries.
    pub(crate) fn read_pages(&self, pages: Pages, columns: &[&str]) -> ParquetResult<Batches> {
        let mask = ProjectionMask::columns(self.metadata.parquet_schema(), columns.iter().copied());
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.chunks.clone(), self.coded.clone());
        let large = columns.iter().any(|name| LARGE.contains(name));
        let rows = if large { self.batch_rows() } else { SCAN_ROWS };
        self.read(pages.spans, columns, builder.with_projection(mask).with_batch_size(rows))
    }
}

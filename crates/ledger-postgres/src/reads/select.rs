//! Statements that are put together from conditions. Whatever comes from outside is bound, never written into one.

use domain::series::{Facet, Spans};
use domain::time::{MICROS_PER_SECOND, TimeRange, Timestamp};
use sqlx::{Postgres, QueryBuilder};

use crate::types::Instant;

/// A statement of which a part is written.
pub(super) struct Select {
    pub(super) builder: QueryBuilder<Postgres>,
    /// A text was asked for that no column takes.
    pub(super) is_impossible: bool,
}

impl Select {
    /// A statement that begins with this SQL.
    pub(super) fn begin(sql: String) -> Self {
        Self { builder: QueryBuilder::new(sql), is_impossible: false }
    }

    /// `SELECT columns FROM table t`, of a tenant's rows.
    pub(super) fn of(columns: &str, table: &str, tenant_no: i32) -> Self {
        let mut select = Self::begin(format!("SELECT {columns} FROM {table} t WHERE t.tenant_no = "));
        select.builder.push_bind(tenant_no);
        select
    }

    /// As [`Select::of`], of rows whose instant in `column` lies in one of these ranges, which do not overlap: each is looked up in
    /// an index by itself.
    pub(super) fn inside_any(columns: &str, table: &str, tenant_no: i32, column: &str, ranges: &[TimeRange]) -> Self {
        if let [range] = ranges {
            let mut select = Self::of(columns, table, tenant_no);
            select.inside(column, *range);
            return select;
        }
        let instants = |bound: fn(TimeRange) -> Timestamp| -> Vec<_> {
            ranges.iter().map(|range| Instant(bound(*range))).collect()
        };
        let mut select = Self::begin(format!("SELECT {columns} FROM unnest("));
        let builder = &mut select.builder;
        builder.push_bind(instants(TimeRange::from));
        builder.push("::timestamptz[], ");
        builder.push_bind(instants(TimeRange::to));
        builder.push(format!("::timestamptz[]) AS r(first, behind) JOIN {table} t ON t.{column} >= r.first"));
        builder.push(format!(" AND t.{column} < r.behind WHERE t.tenant_no = "));
        builder.push_bind(tenant_no);
        select
    }

    /// Appends SQL.
    pub(super) fn and(&mut self, sql: &str) -> &mut Self {
        self.builder.push(sql);
        self
    }

    pub(super) fn bind_text(&mut self, text: &str) -> &mut Self {
        // U+0000 is in no text that is stored, and the server refuses to look for it.
        self.is_impossible |= text.contains('\0');
        self.builder.push_bind(text.replace('\0', ""));
        self
    }

    pub(super) fn bind_instant(&mut self, at: Timestamp) -> &mut Self {
        self.builder.push_bind(Instant(at));
        self
    }

    /// That the column of an instant lies in a range.
    pub(super) fn inside(&mut self, column: &str, range: TimeRange) -> &mut Self {
        self.and(&format!(" AND t.{column} >= ")).bind_instant(range.from());
        self.and(&format!(" AND t.{column} < ")).bind_instant(range.to())
    }

    /// That a column has this text.
    pub(super) fn is(&mut self, column: &str, text: &str) -> &mut Self {
        self.and(&format!(" AND t.{column} = ")).bind_text(text)
    }

    /// That a column of raw events has this text; the empty one stands for none.
    pub(super) fn is_or_none(&mut self, column: &str, text: &str) -> &mut Self {
        if text.is_empty() {
            return self.and(&format!(" AND t.{column} IS NULL"));
        }
        self.is(column, text)
    }

    /// The statement with rows grouped by these columns.
    pub(super) fn grouped(mut self, by: &str) -> Self {
        self.and(&format!(" GROUP BY {by}"));
        self
    }

    /// That raw events lie above the tenant's floor.
    pub(super) fn above_floor(&mut self, tenant_no: i32) -> &mut Self {
        self.and(" AND t.time >= (SELECT raw_floor FROM tenants WHERE tenant_no = ");
        self.builder.push_bind(tenant_no);
        self.and(")")
    }
}

/// The column of a facet of raw events.
pub(super) const fn facet_column(facet: Facet) -> &'static str {
    match facet {
        Facet::Project => "project",
        Facet::Customer => "customer",
        Facet::Type => "kind",
        Facet::Endpoint => "endpoint",
        Facet::Model => "model",
    }
}

/// The start of the span that the instant of a column lies in.
pub(super) fn span_of(column: &str, spans: &Spans<'_>) -> String {
    // Counted from the first instant there is, which begins a span of any length.
    let minutes = spans.length_us() / (60 * MICROS_PER_SECOND);
    format!("date_bin('{minutes} minutes', {column}, '0001-01-01 00:00:00+00')")
}

/// A number of rows as the server takes it.
pub(super) fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

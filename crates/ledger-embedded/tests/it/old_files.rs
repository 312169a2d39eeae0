//! Segments as an earlier release wrote them: version 2 of their Parquet files, made out of new ones by leaving out
//! the columns that came later. Written with another writer's settings on purpose: readers need pages that begin at
//! the same rows and their bounds, nothing else.

#![expect(clippy::expect_used, reason = "for tests, which fail loudly")]

use bytes::Bytes;
use domain::aggregate::Totals;
use domain::calendar::{Calendar, Interval};
use domain::query::{UncheckedAggregation, UncheckedQuery, Value};
use domain::series::{Facet, Metric, SeriesQuery};
use domain::time::TimeRange;
use domain::window::WindowRule;
use ledger_embedded::{EmbeddedLedger, LedgerOptions};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::ArrowWriter;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use ports::analytics::Analytics;
use ports::ledger::Ledger;
use ports::manifest::{Commit, FileKind, Identity, Manifest, SegmentMeta};
use ports::queries::Queries;
use ports::reports::{EventFilter, EventQuery, Order, Reports};
use ports::testing::ledger::records::{at, event, record, scope};
use vfs::Vfs;

use crate::folder::{TestFolder, small};

/// The columns that version 3 has and version 2 has not.
const NEW: [&str; 5] = ["cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "id_scheme", "watermark"];
/// Rows of a page, so that a few events are several.
const PAGE_ROWS: usize = 3;

/// The columns of a file.
fn columns(file: &Bytes) -> Vec<String> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.clone()).expect("a Parquet file");
    reader.schema().fields().iter().map(|field| field.name().clone()).collect()
}

/// A file without the new columns.
fn without_new(file: &Bytes) -> Vec<u8> {
    let kept: Vec<_> = columns(file).into_iter().filter(|name| !NEW.contains(&name.as_str())).collect();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.clone()).expect("a Parquet file");
    let mask = ProjectionMask::columns(reader.parquet_schema(), kept.iter().map(String::as_str));
    let reader = reader.with_projection(mask).build().expect("a reader");
    let properties = WriterProperties::builder()
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_write_batch_size(PAGE_ROWS)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .build();
    let batches: Vec<_> = reader.map(|batch| batch.expect("a batch")).collect();
    let schema = batches.first().expect("rows").schema();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties)).expect("a writer");
    batches.iter().for_each(|batch| writer.write(batch).expect("written"));
    writer.into_inner().expect("a file")
}

impl TestFolder {
    pub(crate) fn file(&self, name: &str) -> Bytes {
        self.vfs.contents(&Self::dir().join(name)).expect("a file").into()
    }

    pub(crate) async fn segments(&self) -> Vec<SegmentMeta> {
        let identity = Identity { key: [0; 16], rule: WindowRule::default() };
        self.manifest.load(&identity).await.expect("the manifest").segments
    }

    /// Replaces files, those that `with` has others for, and what the manifest says of them. No ledger may be open
    /// that has them.
    pub(crate) async fn replace_files(&self, with: impl Fn(FileKind, &Bytes) -> Option<Vec<u8>>) {
        for mut segment in self.segments().await {
            for file in &mut segment.files {
                let Some(bytes) = with(file.kind, &self.file(&file.name)) else { continue };
                let path = Self::dir().join(&file.name);
                self.vfs.remove(&path).expect("removed");
                self.vfs.put(&path, &bytes);
                (file.bytes, file.blake3) = (bytes.len() as u64, *blake3::hash(&bytes).as_bytes());
            }
            let remove = Commit { remove: vec![segment.id.clone()], ..Commit::default() };
            self.manifest.commit(&remove).await.expect("removed");
            self.manifest.commit(&Commit { add: vec![segment], ..Commit::default() }).await.expect("added");
        }
    }

    /// Makes every segment one of version 2.
    pub(crate) async fn make_old(&self) {
        self.replace_files(|kind, file| (kind != FileKind::Ids).then(|| without_new(file))).await;
    }
}

fn options() -> LedgerOptions {
    LedgerOptions { flush_rows: 1_000, compact_fan_in: 2, ..small(WindowRule::default()) }
}

fn all_events() -> EventQuery {
    EventQuery {
        filter: EventFilter::default(),
        order: Order::Ascending,
        after: None,
        limit: 100,
        bytes_max: usize::MAX,
    }
}

/// Sums of hours, of customers and of raw events, and structured queries, all say the same of both.
async fn check_questions(ledger: &EmbeddedLedger) {
    let t = scope("t");
    let measures = [
        (Metric::CacheReadTokens, "cache_read_tokens", 630),
        (Metric::CacheWriteTokens, "cache_write_tokens", 180),
        (Metric::ReasoningTokens, "reasoning_tokens", 54),
    ];
    for (metric, field, expected) in measures {
        let by_hour = [vec![], vec![Facet::Customer], vec![Facet::Endpoint]].map(|facets| (Interval::Hour, facets));
        for (interval, group_by) in by_hour.into_iter().chain([(Interval::Minute, vec![])]) {
            let query = SeriesQuery {
                metric,
                range: TimeRange::ALL,
                interval,
                calendar: Calendar::utc(),
                group_by,
                filters: Vec::new(),
                groups_max: 10,
                points_max: 100,
            };
            let points = ledger.series(&t, &query).await.expect("a series");
            let mut sum = Totals::default();
            points.iter().for_each(|point| sum.merge(&point.totals));
            let found = [sum.cache_read_tokens, sum.cache_write_tokens, sum.reasoning_tokens].iter().sum::<u64>();
            assert_eq!((sum.calls, found), (18, expected), "{query:?}");
        }
        let aggregations = ["sum", "count"].map(|op| UncheckedAggregation {
            op: op.to_owned(),
            field: Some(field.to_owned()),
            name: None,
        });
        let query = UncheckedQuery {
            range: TimeRange::ALL,
            bucket: None,
            aggregations: aggregations.into(),
            group_by: Vec::new(),
            filter: None,
            order_by: Vec::new(),
            limit: None,
        };
        let answer = ledger.query(&t, &query.check().expect("a query")).await.expect("an answer");
        let expected = i64::try_from(expected).expect("small");
        assert_eq!(answer.rows, [[Value::from(expected), Value::from(9)]], "{field}: old events have none");
    }
}

#[tokio::test]
async fn i3_an_old_and_a_new_segment_merge_into_a_new_one() {
    let folder = TestFolder::new();
    let t = scope("t");
    let ledger = folder.open(options()).await;
    let old: Vec<_> = (0..9).map(|n| event(&format!("old{n}"), n * 40).customer("c").tokens(100, 10)).collect();
    assert!(ledger.apply(&[record(1, &t, at(400), &old)]).await.failed.is_none());
    ledger.flush().await.expect("flush");
    drop(ledger);
    folder.make_old().await;
    let ledger = folder.open(options()).await;
    let new: Vec<_> = (0..9)
        .map(|n| event(&format!("new{n}"), n * 40).customer("c").tokens(100, 10).token_parts(70, 20, 6))
        .collect();
    assert!(ledger.apply(&[record(2, &t, at(400), &new)]).await.failed.is_none());
    ledger.flush().await.expect("flush");
    let before = folder.segments().await;
    let names = |segment: &SegmentMeta, kind| {
        let file = segment.files.iter().find(|file| file.kind == kind).expect("a file");
        columns(&folder.file(&file.name))
    };
    assert_eq!(before.len(), 2);
    let (events, sums) = (names(&before[1], FileKind::Events), names(&before[1], FileKind::Windows));
    assert_ne!((&names(&before[0], FileKind::Events), &names(&before[0], FileKind::Windows)), (&events, &sums));
    for merged in [false, true] {
        if merged {
            ledger.maintain().await.expect("maintain");
            let after = folder.segments().await;
            assert_eq!(after.len(), 1);
            assert_eq!(
                (names(&after[0], FileKind::Events), names(&after[0], FileKind::Windows)),
                (events.clone(), sums.clone())
            );
        }
        let usage = ledger.usage(&t, "c", at(0), TimeRange::ALL).await.expect("usage").expect("a customer");
        let total = usage.customer.total.totals;
        assert_eq!((total.calls, total.tokens, total.input_tokens, total.output_tokens), (18, 1_980, 1_800, 180));
        assert_eq!((total.cache_read_tokens, total.cache_write_tokens, total.reasoning_tokens), (630, 180, 54));
        assert_eq!(usage.day.totals, total);
        for event in ledger.events(&t, &all_events()).await.expect("events").rows {
            let parts = (event.cache_read_tokens, event.cache_write_tokens, event.reasoning_tokens);
            let is_new = event.id.starts_with("new");
            assert_eq!(parts, if is_new { (Some(70), Some(20), Some(6)) } else { (None, None, None) }, "{}", event.id);
        }
        check_questions(&ledger).await;
        let mut differences = Vec::new();
        ledger.verify(&mut |difference| differences.push(difference.to_string())).await.expect("verify");
        assert_eq!(differences, Vec::<String>::new());
    }
}

//! Pages of lists that memory holds, and of the audit log: one place for how they begin, how long they are, in rows and
//! in bytes, and how they go on. What is in them is for the routes.

use axum::Json;
use domain::limits::PAGE_BYTES_MAX;
use domain::tenant::{TenantId, TenantScope};
use pipeline::{FairPermit, WorkClass};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use utoipa::IntoParams;

use crate::cursor::Cursors;
use crate::extract::limit;
use crate::problem::Problem;
use crate::shape::Listing;
use crate::state::ApiState;

/// The parameters of a list without filters.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParameters {
    /// Most rows of the page: 1 to 1000, 100 if not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100)]
    pub(crate) limit: Option<String>,
    /// The `next_cursor` of the page before.
    pub(crate) cursor: Option<String>,
}

/// A page as it is answered: each row is JSON already, since its length counts.
pub(crate) type Answer = Json<Listing<Box<RawValue>>>;

/// A page that is to be filled.
#[derive(Debug)]
pub(crate) struct Page<P> {
    /// Most rows.
    pub(crate) limit: usize,
    /// The place that it begins behind.
    pub(crate) after: Option<P>,
    cursors: Cursors,
}

impl<P: Serialize + DeserializeOwned> Page<P> {
    /// The page of `cursor`.
    pub(crate) fn of(cursors: Cursors, limit_text: Option<&str>, cursor: Option<&str>) -> Result<Self, Problem> {
        Ok(Self { limit: limit(limit_text)?, after: cursors.read(cursor)?, cursors })
    }

    /// Takes rows up to the limit, or to the one with which they are as long as a page may be. `rest` is where to go on
    /// when all of them are taken and there are more elsewhere.
    pub(crate) fn fill<R, B: Serialize>(
        self,
        rows: impl IntoIterator<Item = R>,
        rest: Option<P>,
        place: impl Fn(&R) -> P,
        body: impl Fn(R) -> B,
    ) -> Result<Answer, Problem> {
        let (mut data, mut bytes, mut last, mut next) = (Vec::new(), 0, None, rest);
        for row in rows {
            if data.len() == self.limit || bytes >= PAGE_BYTES_MAX {
                next = last;
                break;
            }
            last = Some(place(&row));
            let text = to_raw_value(&body(row)).map_err(|why| Problem::internal(why.to_string()))?;
            bytes += text.get().len();
            data.push(text);
        }
        let next_cursor = next.and_then(|place| self.cursors.after(&place));
        Ok(Json(Listing { data, next_cursor }))
    }
}

/// A page of a list that memory holds, whose turn has come.
#[derive(Debug)]
pub(crate) struct ListPage {
    page: Page<String>,
    _permit: FairPermit,
}

impl ListPage {
    /// The page of `list` that is asked for, in a workspace or, without one, of the operator. `asked` is what decides on
    /// its rows.
    pub(crate) async fn begin(
        api: &ApiState,
        scope: Option<&TenantScope>,
        list: &str,
        asked: &impl Serialize,
        PageParameters { limit, cursor }: &PageParameters,
    ) -> Result<Self, Problem> {
        let cursors = api.cursor_key.cursors_of_list(scope, list, asked)?;
        let page = Page::of(cursors, limit.as_deref(), cursor.as_deref())?;
        let server = TenantId::server();
        let tenant = scope.map_or(&server, TenantScope::tenant);
        let permit = api.reads.limiter.admit(WorkClass::Lookup, tenant).await?;
        Ok(Self { page, _permit: permit })
    }

    /// The key that it begins behind, as `parse` reads it.
    pub(crate) fn after<K>(&self, parse: impl FnOnce(&str) -> Option<K>) -> Option<K> {
        self.page.after.as_deref().and_then(parse)
    }

    /// As [`Page::fill`], with rows that have a key.
    pub(crate) fn fill<R, B: Serialize>(
        self,
        rows: impl IntoIterator<Item = R>,
        key: impl Fn(&R) -> String,
        body: impl Fn(R) -> B,
    ) -> Result<Answer, Problem> {
        self.page.fill(rows, None, key, body)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::cursor::CursorKey;

    fn page(limit: &str, cursor: Option<&str>) -> Page<usize> {
        let cursors = CursorKey::of_folder(&[7; 16]).cursors_of_list(None, "numbers", &()).unwrap();
        Page::of(cursors, Some(limit), cursor).unwrap()
    }

    /// All pages of rows of these lengths: the rows of each.
    fn pages(lengths: &[usize], limit: &str) -> Vec<Vec<usize>> {
        let (mut pages, mut cursor) = (Vec::new(), None);
        loop {
            let page = page(limit, cursor.as_deref());
            let from = page.after.map_or(0, |after| after + 1);
            let rows = lengths.iter().copied().enumerate().skip(from);
            let Json(Listing { data, next_cursor }) =
                page.fill(rows, None, |(at, _)| *at, |(at, length)| (at, "x".repeat(length))).unwrap();
            let numbers = data.iter().map(|row| serde_json::from_str::<(usize, String)>(row.get()).unwrap().0);
            pages.push(numbers.collect());
            cursor = next_cursor;
            if cursor.is_none() {
                return pages;
            }
        }
    }

    #[test]
    fn i6_a_page_ends_with_its_rows_or_its_bytes_and_the_next_goes_on() {
        assert_eq!(pages(&[1; 5], "2"), [vec![0, 1], vec![2, 3], vec![4]]);
        assert_eq!(pages(&[1; 4], "2"), [vec![0, 1], vec![2, 3]], "no empty page at the end");
        assert_eq!(pages(&[], "2"), [Vec::<usize>::new()]);
        let half = PAGE_BYTES_MAX / 2;
        assert_eq!(pages(&[half; 5], "1000"), [vec![0, 1], vec![2, 3], vec![4]]);
        assert_eq!(pages(&[3 * half, 1, half, half, 1], "1000"), [vec![0], vec![1, 2, 3], vec![4]]);
    }

    #[test]
    fn a_page_whose_rows_are_all_taken_goes_on_where_there_are_more() {
        let fill = |rows: &[usize], rest| page("9", None).fill(rows.to_vec(), rest, |row| *row, |row| row).unwrap();
        assert!(fill(&[1, 2], None).0.next_cursor.is_none());
        let next = fill(&[1, 2], Some(2)).0.next_cursor.unwrap();
        assert_eq!(page("9", Some(&next)).after, Some(2));
    }
}

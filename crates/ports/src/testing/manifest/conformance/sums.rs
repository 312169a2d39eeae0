//! Rollups summed per type and per hour: the same as adding the rollups up by hand, whatever the range.

use std::collections::BTreeMap;

use domain::aggregate::Totals;
use domain::position::Seq;
use domain::rollup::{Rollup, RollupKey};
use domain::time::{TimeRange, Timestamp};

use crate::PortError;
use crate::manifest::{Commit, HourSumsQuery, Manifest};
use crate::testing::manifest::samples::{
    Place, SUM_MAX, at, counted, hour, identity, moved, rollup, scope, with_tenant,
};

/// Hours of the history.
const HOURS: i64 = 400;

/// Checks [`Manifest::type_sums`] and [`Manifest::hour_sums`].
pub(super) async fn conform<P: Place<dyn Manifest>>(new_place: &impl Fn() -> P) -> Result<(), PortError> {
    they_are_the_rollups_of_the_range_added_up(&new_place()).await?;
    they_saturate(&new_place()).await
}

async fn they_are_the_rollups_of_the_range_added_up(place: &impl Place<dyn Manifest>) -> Result<(), PortError> {
    let store = place.open().await?;
    store.load(&identity()).await?;
    assert_eq!(store.type_sums(&scope("a"), TimeRange::ALL, None).await?, (Seq::ZERO, vec![]));
    let mut of_a = Vec::new();
    for (n, hours) in (1..).zip(0..HOURS) {
        for (project, kind) in [("", "k"), ("", "ö"), ("p", "k"), ("p", "x"), ("P", "k")] {
            // Not every type has every hour.
            if (hours + i64::from(kind == "x")) % 3 != 0 {
                of_a.push(rollup("a", project, kind, hours - 7, &counted(n)));
            }
        }
    }
    let of_b: Vec<_> = of_a.iter().map(|mine| with_tenant(mine, "b")).collect();
    let rollups = of_a.iter().chain(&of_b).cloned().collect();
    store.commit(&Commit { rollups, ..moved(0, 9) }).await?;
    let ranges = [
        (Timestamp::MIN, Timestamp::MAX),
        (hour(-7), hour(HOURS)),
        (hour(-1), hour(1)),
        (hour(5), hour(HOURS - 50)),
        (hour(100), hour(101)),
        (at(3_601), at(7_201)),
        (at(1), at(3_599)),
        (hour(3), hour(3)),
        (hour(-900), hour(-800)),
        (hour(HOURS), Timestamp::MAX),
    ];
    for (from, to) in ranges {
        let range = TimeRange::new(from, to).unwrap_or(TimeRange::ALL);
        for project in [None, Some(""), Some("p"), Some("P"), Some("none"), Some("' OR 1=1 --")] {
            let stored = store.type_sums(&scope("a"), range, project).await?;
            assert_eq!(stored, (Seq(9), by_hand(&of_a, range, project)), "{range:?} {project:?}");
            for (kind, by_project, by_kind) in [
                (None, false, false),
                (None, true, false),
                (None, false, true),
                (Some("k"), true, true),
                (Some("ö"), false, false),
            ] {
                let (project, kind) = (project.map(str::to_owned), kind.map(str::to_owned));
                let query = HourSumsQuery { range, project, kind, by_project, by_kind };
                let stored = store.hour_sums(&scope("a"), &query).await?;
                assert_eq!(stored, (Seq(9), hours_by_hand(&of_a, &query)), "{query:?}");
            }
        }
    }
    assert_eq!(store.type_sums(&scope("c"), TimeRange::ALL, None).await?, (Seq(9), vec![]));
    Ok(())
}

async fn they_saturate(place: &impl Place<dyn Manifest>) -> Result<(), PortError> {
    let store = place.open().await?;
    store.load(&identity()).await?;
    let mut stored = Vec::new();
    let steps = [
        counted(SUM_MAX - 5),
        Totals { calls: 5, ..Totals::default() },
        Totals { tokens: 6, late: 1, ..Totals::default() },
        Totals { latency_us: SUM_MAX, ..Totals::default() },
        counted(SUM_MAX),
        counted(SUM_MAX),
    ];
    for (hours, totals) in (0..).zip(steps) {
        for (kind, totals) in [("k", totals), ("small", counted(1))] {
            let more = rollup("a", "", kind, hours, &totals);
            store.commit(&Commit { rollups: vec![more.clone()], ..Commit::default() }).await?;
            stored.push(more);
        }
        let sums = store.type_sums(&scope("a"), TimeRange::ALL, None).await?.1;
        assert_eq!(sums, by_hand(&stored, TimeRange::ALL, None));
        let query =
            HourSumsQuery { range: TimeRange::ALL, project: None, kind: None, by_project: true, by_kind: false };
        let sums = store.hour_sums(&scope("a"), &query).await?.1;
        assert_eq!(sums, hours_by_hand(&stored, &query));
    }
    Ok(())
}

fn hours_by_hand(rollups: &[Rollup], query: &HourSumsQuery) -> Vec<Rollup> {
    let mut sums: BTreeMap<RollupKey, Totals> = BTreeMap::new();
    for Rollup { key, totals } in rollups {
        let is_of = |wanted: &Option<String>, name: &String| wanted.as_ref().is_none_or(|wanted| wanted == name);
        if query.range.contains(key.hour) && is_of(&query.project, &key.project) && is_of(&query.kind, &key.kind) {
            let told = |told: bool, name: &String| if told { name.clone() } else { String::new() };
            let (project, kind) = (told(query.by_project, &key.project), told(query.by_kind, &key.kind));
            sums.entry(RollupKey { project, kind, ..key.clone() }).or_default().merge(totals);
        }
    }
    sums.into_iter().map(|(key, totals)| Rollup { key, totals }).collect()
}

fn by_hand(rollups: &[Rollup], range: TimeRange, project: Option<&str>) -> Vec<(String, Totals)> {
    let mut sums: BTreeMap<String, Totals> = BTreeMap::new();
    for Rollup { key, totals } in rollups {
        if range.contains(key.hour) && project.is_none_or(|project| project == key.project) {
            sums.entry(key.kind.clone()).or_default().merge(totals);
        }
    }
    sums.into_iter().collect()
}

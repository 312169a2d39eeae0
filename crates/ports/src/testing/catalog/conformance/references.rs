//! What every store of reference tables does.

use std::sync::Arc;

use domain::reference::{Attributes, ReferenceTable, Users};
use domain::time::Timestamp;

use super::samples::draft;
use crate::references::References;
use crate::testing::manifest::{Place, at, scope, tenant};
use crate::{ErrorKind, PortError};

/// Checks every promise of [`References`].
///
/// # Errors
/// When the store fails where it must not.
pub async fn references_conformance<P: Place<dyn References>>(new_place: impl Fn() -> P) -> Result<(), PortError> {
    a_table_is_replaced_whole(&new_place()).await?;
    generations_follow_one_another(&new_place()).await?;
    any_text_is_kept(&new_place()).await
}

async fn a_table_is_replaced_whole(place: &impl Place<dyn References>) -> Result<(), PortError> {
    let store = place.open().await?;
    assert_eq!(store.reference_tables().await?, []);
    let free = table(1, at(5), &[("u-1", &[("plan", "free")]), ("u-2", &[])]);
    let pro = table(2, at(4), &[("u-1", &[("plan", "pro"), ("region", "eu")])]);
    store.store_reference(&scope("a"), &free, &draft("a", 1)).await?;
    store.store_reference(&scope("ä"), &table(1, Timestamp::MIN, &[]), &draft("ä", 1)).await?;
    store.store_reference(&scope("a"), &pro, &draft("a", 1)).await?;
    drop(store);
    let expected = [(tenant("a"), pro), (tenant("ä"), table(1, Timestamp::MIN, &[]))];
    assert_eq!(place.open().await?.reference_tables().await?, expected);
    Ok(())
}

async fn generations_follow_one_another(place: &impl Place<dyn References>) -> Result<(), PortError> {
    let store = place.open().await?;
    let of = |generation: u64| table(generation, at(1), &[("u", &[("generation", &generation.to_string())])]);
    for generation in 1..4 {
        for wrong in [0, generation - 1, generation + 1, 1 << 40] {
            let refused =
                store.store_reference(&scope("a"), &of(wrong), &draft("a", 1)).await.err().map(|error| error.kind());
            assert_eq!(refused, Some(ErrorKind::Conflict), "{wrong} after {}", generation - 1);
        }
        store.store_reference(&scope("a"), &of(generation), &draft("a", 1)).await?;
        assert_eq!(store.reference_tables().await?, [(tenant("a"), of(generation))]);
    }
    // The generations of others are their own (I5).
    store.store_reference(&scope("b"), &of(1), &draft("b", 1)).await?;
    assert_eq!(store.reference_tables().await?, [(tenant("a"), of(3)), (tenant("b"), of(1))]);
    Ok(())
}

async fn any_text_is_kept(place: &impl Place<dyn References>) -> Result<(), PortError> {
    let store = place.open().await?;
    let long = "ß".repeat(40_000);
    let odd = ["", "\u{0}", "'\"; -- %", "\u{1F600}", &long];
    let known = odd.iter().rev().zip(odd).map(|(key, value)| ((*key).to_owned(), value.to_owned()));
    let known = Arc::new(known.collect::<Attributes>());
    let mut users: Users = odd.iter().map(|user| ((*user).to_owned(), Arc::clone(&known))).collect();
    users.extend((0..2_000).map(|user| (format!("user-{user}"), Arc::default())));
    let table = Arc::new(ReferenceTable { generation: 1, ts: Timestamp::MAX, users });
    store.store_reference(&scope("a"), &table, &draft("a", 1)).await?;
    drop(store);
    assert_eq!(place.open().await?.reference_tables().await?, [(tenant("a"), table)]);
    Ok(())
}

fn table(generation: u64, ts: Timestamp, users: &[(&str, &[(&str, &str)])]) -> Arc<ReferenceTable> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let users = users.iter().map(|(user, known)| ((*user).to_owned(), Arc::new(known.iter().map(owned).collect())));
    Arc::new(ReferenceTable { generation, ts, users: users.collect() })
}

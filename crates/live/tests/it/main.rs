//! The live view in memory against its oracle, and what it does when there is no room.
#![expect(clippy::unwrap_used, reason = "tests")]

mod room;

use live::MemoryLive;
use ports::testing::live::live_conformance;

#[tokio::test]
async fn the_live_view_counts_as_a_list_of_all_events_does() {
    live_conformance(MemoryLive::new).await;
}

//! The server killed under load, over and over, and two servers at once.

use std::sync::Arc;

use super::Base;
use crate::faults::checker::check_running;
use crate::faults::client_log::ClientLog;
use crate::faults::files;
use crate::faults::kills::kill_under_load;
use crate::faults::load::Load;
use crate::faults::say;
use crate::faults::seed::Seed;

/// Kills in one run.
const KILLS: u32 = 30;

#[test]
fn f1_to_f7_i1_i2_i3_i4_kills_under_load_lose_nothing_and_count_nothing_twice() {
    let Some(base) = Base::new() else { return };
    let (seed, data) = (Seed::new(), tempfile::tempdir().unwrap());
    let launch = base.launch(data.path()).restless();
    let log = Arc::new(ClientLog::new(seed));
    kill_under_load(&launch, Load::start(&log, 50), KILLS, seed);
    let server = launch.start_ready();
    let before = check_running(&server, &log);
    log.send_unknown(&mut server.client());
    let after = check_running(&server, &log);
    assert!(before.acknowledged > 0 && after.acknowledged == after.stored, "seed {seed}: {before}; {after}");
    server.stop();
    base.assert_whole();
    say(&format!("kills {KILLS}, {before}; after the clients sent the rest again: {after}"));
}

#[test]
fn i9_a_second_server_on_the_database_is_refused_and_the_first_goes_on() {
    let Some(base) = Base::new() else { return };
    let (data, other, copy) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    base.launch(data.path()).start_ready().stop();
    // A copy is told by nothing but that the other one runs.
    files::copy_folder(data.path(), copy.path());
    let server = base.launch(data.path()).start_ready();
    for (folder, code, reason) in [
        (other.path(), 2, "in another folder"),
        (data.path(), 4, "in use by another process"),
        (copy.path(), 1, "another process has"),
    ] {
        let refused = base.launch(folder).refused();
        assert!(refused.0 == code && refused.1.contains(reason), "{reason}: {refused:?}");
    }
    assert_eq!(server.client().post("/v1/events?wait=applied", r#"{"id": "e"}"#).unwrap().status, 202);
    server.stop();
    base.assert_whole();
}

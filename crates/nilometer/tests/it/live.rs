//! The live view of the real binary.

use serde_json::{Value, json};

use crate::harness::Server;

fn live(server: &Server) -> Value {
    loop {
        let (status, body) = server.get("/v1/live?window=1800");
        match status {
            200 => return body,
            503 => {}
            other => panic!("{other}: {body}"),
        }
    }
}

#[test]
fn the_live_view_survives_a_kill_flushed_or_not() {
    let data = tempfile::tempdir().unwrap();
    // Some starts flush nearly every event, others none.
    let settings = [["--flush-rows", "5"], ["--flush-rows", "1000000"]];
    let mut server = Server::with(data.path(), &settings[0]);
    for round in 1..=4 {
        let events: Vec<_> =
            (0..20).map(|n| json!({"id": format!("{round}-{n}"), "user": format!("u{}", n % (round * 4))})).collect();
        assert_eq!(server.post("/v1/events?wait=applied", json!(events).to_string()).0, 202);
        let before = live(&server);
        assert_eq!(before["unknown"], round * 20);
        server.kill();
        server = Server::with(data.path(), &settings[round % 2]);
        assert_eq!(live(&server), before);
    }
    let (_, ready) = server.get("/readyz");
    assert!(ready["checks"].as_array().unwrap().contains(&json!({"name": "live", "ok": true, "message": "ready"})));
    server.stop();
}

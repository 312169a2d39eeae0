//! Ten thousand real web requests, imported over HTTP, give the answers that another engine computed.

use super::Base;
use crate::figures::{check_every_figure, path_of};
use crate::harness::{Server, nilometer, stderr};
use crate::import::counts;

#[test]
fn i1_i2_i3_an_import_over_http_gives_every_expected_figure() {
    let Some(base) = Base::new() else { return };
    let data = tempfile::tempdir().unwrap();
    let serve = || {
        let mut command = nilometer(&["serve", "--listen", "127.0.0.1:0", "--data", data.path().to_str().unwrap()]);
        command.env("NILOMETER_POSTGRES_URL", base.url());
        Server::run(command)
    };
    let mut server = serve();
    let file = path_of("web-requests.csv");
    for expected in [[10_000, 10_000, 0, 0], [10_000, 0, 10_000, 0]] {
        let import = nilometer(&["import", file.to_str().unwrap(), "--now", "--url", &server.url()]).output().unwrap();
        assert_eq!(import.status.code(), Some(0), "{}", stderr(&import));
        assert_eq!(counts(&import), expected);
        check_every_figure(&server);
        server.kill();
        server = serve();
        while server.get("/readyz").0 != 200 {}
    }
    check_every_figure(&server);
    server.stop();
    base.assert_whole();
}

//! Commands while the server runs: they go through its control socket.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};

use serde_json::Value;

use crate::house::House;

#[test]
fn users_are_managed_while_it_runs() {
    let house = House::new();
    let serving = house.serve();
    let socket = fs::metadata(house.path("control.sock")).unwrap();
    assert!(socket.file_type().is_socket());
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    house.add("alice");
    let again = house.run_with(&["user", "add", "alice", "--password-stdin"], "x\n").refused(1);
    assert!(again.contains("exists already"), "{again}");
    house.run(&["user", "key", "add", "alice", "phone"]).ok();
    house.run(&["user", "set", "alice", "watchers=refuse"]).ok();
    house.run(&["user", "lock", "alice"]).ok();
    assert_eq!(house.run(&["user", "list"]).ok(), "alice@example.org  locked\n");
    let nobody = house.run(&["user", "lock", "bob"]).refused(1);
    assert!(nobody.starts_with("there is no user bob@example.org"), "{nobody}");
    house.run(&["peer", "deny", "spam.example"]).ok();
    house.run(&["backup", "copy.db"]).ok();
    let (status, _) = serving.stop();
    assert_eq!(status, 0);
    // What was answered is there without the server, too.
    assert_eq!(house.run(&["user", "list"]).ok(), "alice@example.org  locked\n");
    assert_eq!(house.run(&["peer", "list"]).ok(), "deny   spam.example\n");
}

#[test]
fn it_tells_how_it_is() {
    let house = House::new();
    let down = house.run(&["status"]).refused(1);
    assert!(down.starts_with("no server runs on ."), "{down}");
    let test = house.run(&["peer", "test", "example.net"]).refused(1);
    assert!(test.starts_with("no server runs on ."), "{test}");
    let serving = house.serve();
    let status: Value = serde_json::from_str(&house.run(&["status", "--json"]).ok()).unwrap();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["domains"][0], "example.org");
    assert_eq!(status["users_online"], 0);
    let text = house.run(&["status"]).ok();
    assert!(text.contains("domains              example.org\n"), "{text}");
    serving.stop();
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let house = House::new();
    let serving = house.serve();
    let second = house.run(&["serve"]);
    assert_eq!(second.status, 1, "{second:?}");
    assert!(second.err.contains("already runs here"), "{second:?}");
    // The first is none the worse.
    house.run(&["status"]).ok();
    serving.stop();
}

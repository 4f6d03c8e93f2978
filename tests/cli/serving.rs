//! Commands while the server runs: they go through its control socket.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::Value;

use crate::house::{House, Serving};

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

// design 9
#[test]
fn a_server_that_may_open_hardly_any_files_says_so() {
    let house = House::new();
    let output = house.serve_within(63).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("63 open files are too few") && said.contains("ulimit -n"), "{said}");
    Serving::begin(house.serve_within(64)).stop();
}

// design 9: where there are fewer descriptors than it thought, strangers make room as well.
#[test]
fn strangers_who_hold_the_last_descriptors_keep_nobody_out() {
    let house = House::new();
    let serving = Serving::begin(house.serve_within(64));
    // So many commands may wait.
    let commands: Vec<_> =
        (0..32).map(|_| UnixStream::connect(house.path("control.sock")).unwrap()).collect();
    let place = SocketAddr::from((house.ip, 7467));
    let strangers: Vec<_> = (0..60)
        .map(|_| {
            let mut stranger = TcpStream::connect(place).unwrap();
            // A routing connection may be silent for minutes.
            stranger.write_all(b"<?xml version=\"1.0\"?>\n<stream>\n").unwrap();
            stranger
        })
        .collect();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 77], 0)).into()).unwrap();
    socket.connect(&place.into()).unwrap();
    let mut newcomer = TcpStream::from(socket);
    // Commands that ask nothing are let go after a minute.
    newcomer.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    assert_ne!(newcomer.read(&mut [0; 64]).unwrap(), 0, "he is greeted");
    drop((commands, strangers));
    let (status, log) = serving.stop();
    assert_eq!(status, 0);
    assert!(log.contains("no new connections for now: Too many open files"), "{log}");
}

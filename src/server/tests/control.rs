//! The control socket: who may use it, how lines are cut, who asks whom.
use super::*;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};

use crate::admin::{AdminReply, AdminRequest, Status};
use crate::server::control::{AskError, SOCKET, ask};

fn rig(dir: &Path) -> Rig {
    Rig::start(&[listen_on("127.0.0.1:0", false)], Keys::load(None).unwrap(), Some(dir), 100)
}

fn connect(dir: &Path) -> UnixStream {
    let stream = UnixStream::connect(dir.join(SOCKET)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn asked(rig: &Rig) -> (crate::node::io::ControlId, AdminRequest) {
    match rig.next() {
        Seen::Control { id, request } => (id, request),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_is_answered_and_only_the_owner_can_ask() {
    let dir = tempfile::tempdir().unwrap();
    let rig = rig(dir.path());
    let mode = fs::metadata(dir.path().join(SOCKET)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left behind");
    let path = dir.path().to_owned();
    let asker = std::thread::spawn(move || ask(&path, &AdminRequest::Status));
    let (id, request) = asked(&rig);
    assert_eq!(request, AdminRequest::Status);
    let status = AdminReply::Status(Box::new(Status { users_online: 7, ..Status::default() }));
    rig.want(Output::Control { id, reply: status.clone() });
    assert_eq!(asker.join().unwrap().unwrap(), status);
}

#[test]
fn no_server_is_told_from_other_troubles() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(ask(dir.path(), &AdminRequest::Status), Err(AskError::NotRunning)));
    // One that died left its socket.
    drop(UnixListener::bind(dir.path().join(SOCKET)).unwrap());
    assert!(matches!(ask(dir.path(), &AdminRequest::Status), Err(AskError::NotRunning)));
    // The next one takes its place.
    let rig = rig(dir.path());
    let path = dir.path().to_owned();
    let asker = std::thread::spawn(move || ask(&path, &AdminRequest::Peers));
    asked(&rig);
    drop(rig);
    // It ended without an answer, and has cleared up.
    assert!(matches!(asker.join().unwrap(), Err(AskError::Failed(_))));
    assert!(!dir.path().join(SOCKET).exists());
}

#[test]
fn lines_may_come_in_pieces_or_many_at_once_and_are_answered_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let rig = rig(dir.path());
    let mut client = connect(dir.path());
    for octet in b"\"status\"" {
        client.write_all(&[*octet]).unwrap();
    }
    client.write_all(b"\n\"peers\"\nnonsense\n{\"peer-test\":{\"domain\":\"b.test\"}}\n").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    for text in ["one", "two", "three"] {
        let (id, _) = asked(&rig);
        rig.want(Output::Control { id, reply: AdminReply::Failed(text.to_owned()) });
    }
    let mut lines = BufReader::new(client).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "{\"failed\":\"one\"}");
    assert_eq!(lines.next().unwrap(), "{\"failed\":\"two\"}");
    assert!(lines.next().unwrap().contains("no request that this version knows"));
    assert_eq!(lines.next().unwrap(), "{\"failed\":\"three\"}");
    assert_eq!(lines.next(), None);
}

#[test]
fn a_line_without_end_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _rig = rig(dir.path());
    let mut client = connect(dir.path());
    let mut half = client.try_clone().unwrap();
    let flood = std::thread::spawn(move || while half.write_all(&[b'x'; 8192]).is_ok() {});
    let mut answer = String::new();
    let _ = client.read_to_string(&mut answer);
    assert!(answer.contains("at most 64 KiB"), "{answer}");
    flood.join().unwrap();
}

#[test]
fn an_answer_for_somebody_who_left_reaches_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let rig = rig(dir.path());
    let mut first = connect(dir.path());
    first.write_all(b"\"status\"\n").unwrap();
    let (gone, _) = asked(&rig);
    drop(first);
    let mut second = connect(dir.path());
    second.write_all(b"\"peers\"\n").unwrap();
    let (id, _) = asked(&rig);
    rig.want(Output::Control { id: gone, reply: AdminReply::Failed("for the first".to_owned()) });
    rig.want(Output::Control { id, reply: AdminReply::Failed("for the second".to_owned()) });
    let mut line = String::new();
    BufReader::new(second).read_line(&mut line).unwrap();
    assert!(line.contains("second"), "{line}");
}

#[test]
fn who_asks_nothing_makes_room() {
    let dir = tempfile::tempdir().unwrap();
    let rig = rig(dir.path());
    let mut silent: Vec<UnixStream> = (0..32).map(|_| connect(dir.path())).collect();
    let path = dir.path().to_owned();
    let asker = std::thread::spawn(move || ask(&path, &AdminRequest::Peers));
    let (id, _) = asked(&rig);
    rig.want(Output::Control { id, reply: AdminReply::Failed("heard".to_owned()) });
    assert_eq!(asker.join().unwrap().unwrap(), AdminReply::Failed("heard".to_owned()));
    // It was the oldest who had to go.
    assert_eq!(silent[0].read(&mut [0]).unwrap(), 0);
    silent[31].write_all(b"\"status\"\n").unwrap();
    asked(&rig);
}

#[test]
fn too_many_at_once_are_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let rig = rig(dir.path());
    let mut held: Vec<UnixStream> = (0..32).map(|_| connect(dir.path())).collect();
    for client in &mut held {
        client.write_all(b"\"status\"\n").unwrap();
        asked(&rig);
    }
    let mut line = String::new();
    BufReader::new(connect(dir.path())).read_line(&mut line).unwrap();
    assert!(line.contains("too many"), "{line}");
}

//! What happens when nothing happens: deadlines, with the clock set forward.
use super::*;
use std::io::{Read, Write};
use std::net::TcpListener;

use crate::limits;

/// A moment less than all of it.
fn almost(time: Duration) -> Duration {
    time - Duration::from_secs(2)
}

#[test]
fn a_reader_that_takes_nothing_is_cut_and_a_slow_one_is_not() {
    // OC-53
    let rig = Rig::plain();
    let (mut client, conn) = rig.connect();
    let mut others = Vec::new();
    rig.order(Order::Write(conn, vec![1; 32 << 20]));
    for _ in 0..3 {
        // What fits into the socket's buffers has gone; the rest waits until he has taken some.
        let mut some = vec![0; 6 << 20];
        client.read_exact(&mut some).unwrap();
        // Whoever connects now has seen the loop come round: what could be written has been.
        others.push(rig.connect());
        rig.pass(almost(limits::STALLED));
    }
    others.push(rig.connect());
    rig.pass(limits::STALLED);
    rig.pass(limits::STALLED);
    rig.closed(conn);
}

#[test]
fn a_handshake_that_does_not_come_ends() {
    // OC-69
    let (_authority, files) = tls::files();
    let rig = Rig::start(&[listen_on("127.0.0.1:0", true)], Keys::load(Some(&files)).unwrap(), None, 9);
    let (mut client, conn) = rig.connect();
    rig.pass(almost(limits::HEADER));
    client.write_all(&[22, 3, 1]).unwrap();
    rig.pass(limits::HEADER);
    rig.closed(conn);
    assert_eq!(client.read(&mut [0; 1]).unwrap_or(0), 0);
}

#[test]
fn a_dial_that_gets_no_answer_fails_in_time() {
    // OC-06: a listener whose queue is full does not answer; one that does not speak TLS neither.
    let rig = Rig::plain();
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    rig.dial(1, mute.local_addr().unwrap(), true, "b.test");
    let (_stream, _) = mute.accept().unwrap();
    rig.pass(limits::DIAL);
    match rig.next() {
        Seen::DialFailed { dial: DialId(1), why } => assert!(why.contains("in time"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_peer_that_does_not_end_is_ended() {
    let rig = Rig::plain();
    let (mut client, conn) = rig.connect();
    rig.want(Output::Close { conn, flush: true });
    // Our end comes at once, his never.
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    rig.pass(Duration::from_secs(4));
    rig.closed(conn);
}

#[test]
fn nothing_is_kept_of_connections_that_have_ended() {
    // design 3: whoever comes and goes for years leaves nothing
    let mut rig = Rig::plain();
    let mut peers: Vec<_> = (0..4).map(|_| rig.connect()).collect();
    // In one tick, in another order than they came in.
    let ends = peers.iter().rev().map(|(_, conn)| Order::Want(Output::Close { conn: *conn, flush: true }));
    rig.orders.lock().unwrap().extend(ends);
    rig.pass(Duration::ZERO);
    for (stream, _) in &mut peers {
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    }
    rig.pass(Duration::from_secs(4));
    for _ in &peers {
        assert!(matches!(rig.next(), Seen::Closed { .. }));
    }
    assert_eq!(rig.end(), Some(0));
}

#[test]
fn an_operator_who_asks_nothing_is_sent_away() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::start(&[], Keys::load(None).unwrap(), Some(dir.path()), 9);
    let path = dir.path().join(crate::server::control::SOCKET);
    let mut client = std::os::unix::net::UnixStream::connect(path).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(b"nonsense\n").unwrap();
    client.read_exact(&mut [0; 8]).unwrap();
    rig.pass(Duration::from_secs(61));
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).unwrap();
}

//! Plain connections: reading, writing, pausing, closing, dialling.
use super::*;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener};

use socket2::{SockRef, Socket};

#[test]
fn octets_come_back_from_many_connections_at_once() {
    let rig = Rig::plain();
    rig.order(Order::Echo(true));
    let mut clients: Vec<TcpStream> = (0..50).map(|_| rig.connect().0).collect();
    for round in 0..10 {
        for (number, client) in clients.iter_mut().enumerate() {
            client.write_all(format!("{number:03}-{round:03};").as_bytes()).unwrap();
        }
        for (number, client) in clients.iter_mut().enumerate() {
            let mut back = [0; 8];
            client.read_exact(&mut back).unwrap();
            assert_eq!(back, format!("{number:03}-{round:03};").as_bytes()[..]);
        }
    }
}

#[test]
fn more_than_one_read_holds_arrives_whole_and_in_order() {
    let rig = Rig::plain();
    let (mut client, _) = rig.connect();
    let sent: Vec<u8> = (0..1_000_003_u32).map(|n| (n % 251) as u8).collect();
    let copy = sent.clone();
    let writer = std::thread::spawn(move || {
        client.write_all(&copy).unwrap();
        client
    });
    assert_eq!(rig.octets(sent.len()), sent);
    drop(writer.join().unwrap());
}

#[test]
fn the_end_of_octets_is_told_after_the_last_of_them_and_we_may_still_write() {
    let rig = Rig::plain();
    let (mut client, conn) = rig.connect();
    client.write_all(b"last words").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rig.octets(10), b"last words");
    assert!(matches!(rig.next(), Seen::HalfClosed { conn: c } if c == conn));
    rig.order(Order::Write(conn, b"answer".to_vec()));
    rig.want(Output::Close { conn, flush: true });
    let mut back = String::new();
    client.read_to_string(&mut back).unwrap();
    assert_eq!(back, "answer");
    rig.closed(conn);
}

#[test]
fn a_slow_reader_gets_everything_in_pieces() {
    let rig = Rig::plain();
    let (mut client, conn) = rig.connect();
    let sent: Vec<u8> = (0..20_000_003_u32).map(|n| (n % 241) as u8).collect();
    rig.order(Order::Write(conn, sent.clone()));
    // Somebody else is served meanwhile.
    let (mut other, _) = rig.connect();
    other.write_all(b"hello").unwrap();
    assert_eq!(rig.octets(5), b"hello");
    let mut back = vec![0; sent.len()];
    client.read_exact(&mut back).unwrap();
    assert_eq!(back, sent);
}

#[test]
fn closing_with_flush_writes_all_before_the_end() {
    let rig = Rig::plain();
    let (mut client, conn) = rig.connect();
    let sent = vec![7; 8_000_000];
    rig.order(Order::Write(conn, sent.clone()));
    rig.want(Output::Close { conn, flush: true });
    // What comes in now must not turn the end into a reset.
    client.write_all(b"still talking").unwrap();
    let mut back = Vec::new();
    client.read_to_end(&mut back).unwrap();
    assert_eq!(back.len(), sent.len());
    drop(client);
    rig.closed(conn);
}

#[test]
fn closing_without_flush_is_at_once() {
    let rig = Rig::plain();
    let (mut client, conn) = rig.connect();
    rig.want(Output::Close { conn, flush: false });
    rig.closed(conn);
    assert_eq!(client.read(&mut [0; 8]).unwrap_or(0), 0);
}

#[test]
fn a_reset_is_told_even_while_reading_is_paused() {
    let rig = Rig::plain();
    let (mut client, conn) = rig.connect();
    rig.want(Output::Reading { conn, on: false });
    rig.order(Order::Write(conn, b"k".to_vec()));
    client.read_exact(&mut [0; 1]).unwrap();
    SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    rig.closed(conn);
}

#[test]
fn paused_octets_wait_in_the_socket_and_come_on_resume() {
    // SIMP-3.6-2, OC-30: a stream that has too much under way is not read.
    let rig = Rig::plain();
    let (mut paused, conn) = rig.connect();
    let (mut other, second) = rig.connect();
    rig.want(Output::Reading { conn, on: false });
    // What is written after the order shows that the order was taken.
    rig.order(Order::Write(conn, b"k".to_vec()));
    paused.read_exact(&mut [0; 1]).unwrap();
    paused.write_all(b"wait").unwrap();
    for _ in 0..3 {
        other.write_all(b"x").unwrap();
        match rig.next() {
            Seen::Bytes { conn, data } => assert_eq!((conn, data), (second, b"x".to_vec())),
            other => panic!("{other:?}"),
        }
    }
    rig.want(Output::Reading { conn, on: true });
    match rig.next() {
        Seen::Bytes { conn: c, data } => assert_eq!((c, data), (conn, b"wait".to_vec())),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_firehose_does_not_starve_the_others() {
    let rig = Rig::plain();
    rig.order(Order::Echo(false));
    let (mut hose, loud) = rig.connect();
    let (mut quiet, soft) = rig.connect();
    let hose = std::thread::spawn(move || {
        let data = vec![1; 1 << 20];
        while hose.write_all(&data).is_ok() {}
    });
    for _ in 0..5 {
        quiet.write_all(b"x").unwrap();
        // Bounded by what the socket's buffers hold, not by what the other sends.
        loop {
            match rig.next() {
                Seen::Bytes { conn, .. } if conn == soft => break,
                Seen::Bytes { conn, .. } => assert_eq!(conn, loud),
                other => panic!("{other:?}"),
            }
        }
    }
    rig.want(Output::Close { conn: loud, flush: false });
    hose.join().unwrap();
}

#[test]
fn dialling_works_and_comes_from_our_own_address() {
    // OC-01: peers know us by our address.
    let keys = Keys::load(None).unwrap();
    let rig = Rig::start(&[listen_on("127.0.0.77:0", false)], keys, None, 1000);
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    rig.dial(1, peer.local_addr().unwrap(), false, "b.test");
    let (mut stream, from) = peer.accept().unwrap();
    assert_eq!(from.ip().to_string(), "127.0.0.77");
    let conn = match rig.next() {
        Seen::Connected { dial: DialId(1), conn } => conn,
        other => panic!("{other:?}"),
    };
    rig.order(Order::Write(conn, b"hi".to_vec()));
    let mut back = [0; 2];
    stream.read_exact(&mut back).unwrap();
    stream.write_all(b"there").unwrap();
    assert_eq!(rig.octets(5), b"there");
}

#[test]
fn octets_that_come_with_the_connection_are_not_missed() {
    let rig = Rig::plain();
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    for number in 0..20 {
        rig.dial(number, peer.local_addr().unwrap(), false, "b.test");
        let (mut stream, _) = peer.accept().unwrap();
        stream.write_all(b"greetings").unwrap();
        drop(stream);
        let conn = match rig.next() {
            Seen::Connected { dial, conn } if dial == DialId(number) => conn,
            other => panic!("{other:?}"),
        };
        assert_eq!(rig.octets(9), b"greetings");
        assert!(matches!(rig.next(), Seen::HalfClosed { conn: c } if c == conn));
        rig.want(Output::Close { conn, flush: true });
        rig.closed(conn);
    }
}

#[test]
fn a_refused_dial_is_told() {
    // OC-06
    let rig = Rig::plain();
    let nobody = Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    nobody.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    let address = nobody.local_addr().unwrap().as_socket().unwrap();
    rig.dial(5, address, false, "b.test");
    match rig.next() {
        Seen::DialFailed { dial: DialId(5), why } => assert!(why.contains("refused"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn over_the_room_nobody_is_accepted_until_somebody_leaves() {
    let keys = Keys::load(None).unwrap();
    let rig = Rig::start(&[listen_on("127.0.0.1:0", false)], keys, None, 2);
    let (_first, conn) = rig.connect();
    let (mut second, _) = rig.connect();
    let third = TcpStream::connect(rig.addresses[0]).unwrap();
    second.write_all(b"x").unwrap();
    assert_eq!(rig.octets(1), b"x");
    rig.want(Output::Close { conn, flush: false });
    rig.closed(conn);
    match rig.next() {
        Seen::Accepted { peer, .. } => assert_eq!(peer, third.local_addr().unwrap()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn clear_text_is_for_loopback_only_unless_the_listener_says_so() {
    // OC-05. The machine's own address that is not loopback, if it has one: nothing leaves the machine.
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let Ok(()) = probe.connect("192.0.2.1:9") else { return };
    let own = probe.local_addr().unwrap().ip();
    if own.is_loopback() || own.is_unspecified() {
        return;
    }
    let closed = listen_on(&format!("{own}:0"), false);
    let open = Listen { clear: true, ..closed.clone() };
    let rig = Rig::start(&[closed, open], Keys::load(None).unwrap(), None, 10);
    let mut refused = TcpStream::connect(rig.addresses[0]).unwrap();
    refused.set_read_timeout(Some(PATIENCE)).unwrap();
    match refused.read(&mut [0; 1]) {
        Ok(0) => {}
        Err(e) => assert_ne!(e.kind(), ErrorKind::WouldBlock),
        other => panic!("{other:?}"),
    }
    let welcome = TcpStream::connect(rig.addresses[1]).unwrap();
    match rig.next() {
        Seen::Accepted { peer, .. } => assert_eq!(peer, welcome.local_addr().unwrap()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn tokens_come_back_as_what_they_stand_for() {
    use crate::server::poll::Source;
    let all = [
        Source::Conn(ConnId { slot: 0, generation: 0 }),
        Source::Conn(ConnId { slot: 12_345, generation: u32::MAX }),
        Source::Listener(3),
        Source::ControlListener,
        Source::ControlClient(31),
        Source::Inbox,
        Source::Signals(2),
    ];
    for source in all {
        assert_eq!(Source::of(source.token()), source);
    }
}

#[test]
fn our_first_words_wait_for_the_next_but_not_for_long() {
    let rig = Rig::plain();
    let (mut client, conn) = rig.connect();
    // Far from over, were it for the clock alone.
    rig.order(Order::Write(conn, b"first".to_vec()));
    rig.order(Order::Write(conn, b"second".to_vec()));
    let mut both = [0; 11];
    client.read_exact(&mut both).unwrap();
    assert_eq!(&both, b"firstsecond");
    let (mut client, conn) = rig.connect();
    rig.order(Order::Write(conn, b"alone".to_vec()));
    client.read_exact(&mut [0; 5]).unwrap();
    // From then on nothing waits.
    rig.order(Order::Write(conn, b"next".to_vec()));
    client.read_exact(&mut [0; 4]).unwrap();
    let (mut client, conn) = rig.connect();
    rig.order(Order::Write(conn, b"farewell".to_vec()));
    rig.want(Output::Close { conn, flush: true });
    let mut all = String::new();
    client.read_to_string(&mut all).unwrap();
    assert_eq!(all, "farewell");
}

#[test]
fn where_places_are_few_the_closing_go_first_and_then_strangers_have_to() {
    let rig = Rig::start(&[listen_on("127.0.0.1:0", false)], Keys::load(None).unwrap(), None, 16);
    let mut clients: Vec<_> = (0..15).map(|_| rig.connect()).collect();
    assert!(matches!(rig.next(), Seen::Crowded { count: 1 }));
    // We have closed it, and the client does not.
    let (mut first, conn) = clients.remove(0);
    rig.want(Output::Close { conn, flush: true });
    assert_eq!(first.read(&mut [0; 8]).unwrap(), 0);
    clients.push(rig.connect());
    assert!(matches!(rig.next(), Seen::Crowded { count: 1 }));
    rig.closed(conn);
}

#[test]
fn users_are_heard_before_strangers_and_before_those_who_have_much_to_say() {
    // design 7, 9: what is hostile costs the others nothing.
    let rig = Rig::plain();
    let mut strangers: Vec<_> = (0..20).map(|_| rig.connect().0).collect();
    let (mut loud, loud_conn) = rig.connect();
    let (mut user, user_conn) = rig.connect();
    for conn in [loud_conn, user_conn] {
        rig.want(Output::Known(conn));
    }
    // Whoever has much to say is known by what he has said last.
    loud.write_all(&[b'x'; 5000]).unwrap();
    assert_eq!(rig.octets(5000).len(), 5000);
    let (go, rest) = mpsc::channel();
    rig.order(Order::Rest(rest));
    assert!(matches!(rig.next(), Seen::Resting));
    for other in strangers.iter_mut().chain([&mut loud]) {
        other.write_all(&[b'x'; 20_000]).unwrap();
    }
    user.write_all(b"me").unwrap();
    drop(go);
    match rig.next() {
        Seen::Bytes { conn, data } => assert_eq!((conn, &data[..]), (user_conn, &b"me"[..])),
        other => panic!("{other:?}"),
    }
    // The others have their turn, all of them.
    assert_eq!(rig.octets(21 * 20_000).len(), 21 * 20_000);
}

//! TLS over the loop, with certificates of our own making.
use super::*;
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpListener;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::config::Tls;
use crate::node::io::Alpn;

/// An authority in a directory, and what it has signed.
struct Authority {
    dir: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Authority { dir, issuer }
    }

    fn sign(&self, file: &str, names: &[&str], usage: &[ExtendedKeyUsagePurpose]) -> Tls {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = usage.to_vec();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = Tls {
            certificate: self.dir.path().join(format!("{file}.pem")),
            key: self.dir.path().join(format!("{file}.key")),
            ca: Some(self.dir.path().join("ca.pem")),
        };
        fs::write(&files.certificate, certificate.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    fn server(&self, names: &[&str]) -> Tls {
        self.sign("server", names, &[ExtendedKeyUsagePurpose::ServerAuth])
    }
}

/// An authority and a server's files, for other tests.
pub(super) fn files() -> (tempfile::TempDir, Tls) {
    let authority = Authority::new();
    let files = authority.server(&["a.test"]);
    (authority.dir, files)
}

fn pair(files: &Tls) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_file_iter(&files.certificate).unwrap().map(Result::unwrap).collect();
    (chain, PrivateKeyDer::from_pem_file(&files.key).unwrap())
}

fn roots(files: &Tls) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(files.ca.as_ref().unwrap()).unwrap()).unwrap();
    roots
}

fn client_config(files: &Tls, shown: Option<&Tls>, alpn: &[&str]) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots(files));
    let mut config = match shown {
        Some(shown) => {
            let (chain, key) = pair(shown);
            builder.with_client_auth_cert(chain, key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
    config
}

type Client = StreamOwned<ClientConnection, TcpStream>;

fn connect(rig: &Rig, config: ClientConfig, name: &str) -> (Client, ConnId) {
    let (stream, conn) = rig.connect();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    (StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream), conn)
}

fn rig(files: &Tls) -> Rig {
    Rig::start(&[listen_on("127.0.0.1:0", true)], Keys::load(Some(files)).unwrap(), None, 1000)
}

fn secured(rig: &Rig) -> TlsPeer {
    match rig.next() {
        Seen::Secured { tls } => tls,
        other => panic!("{other:?}"),
    }
}

#[test]
fn octets_go_both_ways_and_the_protocol_is_chosen() {
    let authority = Authority::new();
    let files = authority.server(&["a.test"]);
    let rig = rig(&files);
    for (offered, chosen) in [(&["simp/1.0", "x"][..], Alpn::Simp), (&[], Alpn::None)] {
        let (mut client, conn) = connect(&rig, client_config(&files, None, offered), "a.test");
        // With the end of the handshake: must come after `Secured`.
        client.write_all(b"hello").unwrap();
        client.flush().unwrap();
        let tls = secured(&rig);
        assert_eq!((tls.alpn, tls.names.len()), (chosen, 0));
        assert_eq!(rig.octets(5), b"hello");
        rig.order(Order::Write(conn, b"welcome".to_vec()));
        let mut back = [0; 7];
        client.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"welcome");
        client.conn.send_close_notify();
        client.flush().unwrap();
        assert!(matches!(rig.next(), Seen::HalfClosed { .. }));
        rig.want(Output::Close { conn, flush: true });
        assert_eq!(client.read(&mut back).unwrap(), 0);
        drop(client);
        rig.closed(conn);
    }
}

#[test]
fn one_port_serves_every_protocol_and_a_port_of_one_serves_that_one() {
    // design 8, TOC-8
    let authority = Authority::new();
    let files = authority.server(&["a.test"]);
    let start = |protocol| {
        let listen = Listen { protocol, ..listen_on("127.0.0.1:0", true) };
        Rig::start(&[listen], Keys::load(Some(&files)).unwrap(), None, 100)
    };
    let chosen = |rig: &Rig, offered: &[&str]| {
        let (mut client, conn) = connect(rig, client_config(&files, None, offered), "a.test");
        let ready = client.write_all(b"x").and_then(|()| client.flush());
        if ready.is_err() || client.conn.is_handshaking() {
            rig.closed(conn);
            return None;
        }
        match rig.next() {
            Seen::Secured { tls } => {
                assert_eq!(rig.octets(1), b"x");
                rig.want(Output::Close { conn, flush: false });
                rig.closed(conn);
                Some(tls.alpn)
            }
            Seen::Closed { .. } => None,
            other => panic!("{other:?}"),
        }
    };
    let all = start(ListenProtocol::Tls);
    assert_eq!(chosen(&all, &["imtp"]), Some(Alpn::Imtp));
    assert_eq!(chosen(&all, &["pitp"]), Some(Alpn::Pitp));
    assert_eq!(chosen(&all, &["simp/1.0"]), Some(Alpn::Simp));
    assert_eq!(chosen(&all, &[]), Some(Alpn::None));
    assert_eq!(chosen(&all, &["h2"]), None);
    let pitp = start(ListenProtocol::Pitp);
    assert_eq!(chosen(&pitp, &["simp/1.0", "imtp", "pitp"]), Some(Alpn::Pitp));
    assert_eq!(chosen(&pitp, &[]), Some(Alpn::None));
    assert_eq!(chosen(&pitp, &["imtp"]), None);
}

#[test]
fn both_ends_know_the_same_channel() {
    // RFC 5929 4: in TLS 1.3, where it is resumed, and in 1.2
    use crate::credential::channel::end_point;
    let authority = Authority::new();
    let files = authority.server(&["a.test"]);
    let rig = rig(&files);
    let config = Arc::new(client_config(&files, None, &["simp/1.0"]));
    let older = Arc::new(older_client_config(&files, &files));
    let mut first = None;
    for config in [config.clone(), config, older.clone(), older] {
        let (mut client, conn) = connect(&rig, (*config).clone(), "a.test");
        client.write_all(b"x").unwrap();
        client.flush().unwrap();
        let ours = secured(&rig).end_point.unwrap();
        let theirs = end_point(&client.conn.peer_certificates().unwrap()[0]).unwrap();
        assert_eq!(*ours, *theirs);
        // One for all connections.
        assert!(Arc::ptr_eq(first.get_or_insert_with(|| ours.clone()), &ours));
        assert_eq!(rig.octets(1), b"x");
        rig.order(Order::Write(conn, b"y".to_vec()));
        client.read_exact(&mut [0; 1]).unwrap();
        rig.want(Output::Close { conn, flush: false });
        rig.closed(conn);
    }
}

#[test]
fn a_link_shows_its_server_s_certificate_and_names_its_protocol() {
    // TOC-19: EXTERNAL between servers rests on it
    let authority = Authority::new();
    use ExtendedKeyUsagePurpose::ServerAuth;
    let (a, b) =
        (authority.sign("a", &["a.test"], &[ServerAuth]), authority.sign("b", &["b.test"], &[ServerAuth]));
    let there = Listen { protocol: ListenProtocol::Tls, ..listen_on("127.0.0.1:0", true) };
    let there = Rig::start(&[there], Keys::load(Some(&a)).unwrap(), None, 10);
    let here = Rig::start(&[], Keys::load(Some(&b)).unwrap(), None, 10);
    for (number, protocol, alpn) in
        [(1, Protocol::Imtp, Alpn::Imtp), (2, Protocol::Pitp, Alpn::Pitp), (3, Protocol::Simp, Alpn::Simp)]
    {
        let place = Place { protocol, tls: true, address: there.addresses[0] };
        let domain = Domain::parse("a.test").unwrap();
        here.want(Output::Dial { dial: DialId(number), place, domain });
        assert!(matches!(there.next(), Seen::Accepted { .. }));
        let tls = secured(&there);
        assert_eq!((tls.alpn, tls.names), (alpn, vec!["b.test".to_owned()]));
        assert!(matches!(here.next(), Seen::Connected { .. }));
    }
}

fn older_client_config(files: &Tls, shown: &Tls) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let (chain, key) = pair(shown);
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots(files))
        .with_client_auth_cert(chain, key)
        .unwrap()
}

#[test]
fn octets_that_come_with_the_end_of_the_handshake_are_news_after_it() {
    // The peer's last flight and his first octets in one read, where we have nothing to say in
    // between: TLS 1.2, the session resumed.
    use crate::server::tls::{Event, Outgoing};
    let authority = Authority::new();
    let files = authority.server(&["a.test"]);
    let keys = Keys::load(Some(&files)).unwrap();
    let config = Arc::new(older_client_config(&files, &files));
    for kind in [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed] {
        let name = ServerName::try_from("a.test").unwrap();
        let mut client = ClientConnection::new(config.clone(), name).unwrap();
        let mut server = keys.server.clone().unwrap().accept(ListenProtocol::Tls).unwrap();
        client.writer().write_all(b"hello").unwrap();
        let mut seen = Vec::new();
        while seen.len() < 2 {
            let mut flight = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut flight).unwrap();
            }
            let mut out = Outgoing::default();
            let mut sink = |event: Event<'_>| seen.push(format!("{event:?}"));
            server.receive(&mut flight, &mut out, &keys.trust, &mut sink).unwrap();
            let mut back = out.filled();
            while !back.is_empty() {
                client.read_tls(&mut back).unwrap();
                client.process_new_packets().unwrap();
            }
        }
        assert_eq!(client.handshake_kind(), Some(kind));
        assert!(seen[0].starts_with("Secured") && seen[0].contains("a.test"), "{seen:?}");
        assert!(seen[1].starts_with("Data"), "{seen:?}");
    }
}

#[test]
fn older_tls_works_too() {
    let authority = Authority::new();
    let files = authority.server(&["a.test"]);
    let rig = rig(&files);
    let shown = authority.sign("b", &["b.test"], &[ExtendedKeyUsagePurpose::ServerAuth]);
    let config = older_client_config(&files, &shown);
    let (mut client, _) = connect(&rig, config, "a.test");
    rig.order(Order::Echo(true));
    client.write_all(b"hello").unwrap();
    let mut back = [0; 5];
    client.read_exact(&mut back).unwrap();
    assert_eq!(secured(&rig).names, ["b.test"]);
}

#[test]
fn a_protocol_that_we_do_not_speak_is_refused() {
    let authority = Authority::new();
    let files = authority.server(&["a.test"]);
    let rig = rig(&files);
    let (mut client, conn) = connect(&rig, client_config(&files, None, &["h2"]), "a.test");
    assert!(client.write_all(b"x").and_then(|()| client.read(&mut [0; 1])).is_err());
    rig.closed(conn);
}

#[test]
fn much_goes_both_ways_through_a_slow_reader() {
    let authority = Authority::new();
    let files = authority.server(&["a.test"]);
    let rig = rig(&files);
    let (mut client, conn) = connect(&rig, client_config(&files, None, &[]), "a.test");
    let sent: Vec<u8> = (0..9_000_001_u32).map(|n| (n % 239) as u8).collect();
    client.write_all(b"x").unwrap();
    secured(&rig);
    assert_eq!(rig.octets(1), b"x");
    rig.order(Order::Write(conn, sent.clone()));
    rig.want(Output::Close { conn, flush: true });
    let mut back = Vec::new();
    client.read_to_end(&mut back).unwrap();
    assert!(back == sent);
    drop(client);
    rig.closed(conn);

    let (mut client, _) = connect(&rig, client_config(&files, None, &[]), "a.test");
    let copy = sent.clone();
    let writer = std::thread::spawn(move || {
        client.write_all(&copy).unwrap();
        client
    });
    secured(&rig);
    assert!(rig.octets(sent.len()) == sent);
    drop(writer.join().unwrap());
}

#[test]
fn ciphered_octets_may_come_one_by_one() {
    let authority = Authority::new();
    let files = authority.server(&["a.test"]);
    let rig = rig(&files);
    let (mut stream, _) = rig.connect();
    stream.set_nodelay(true).unwrap();
    let name = ServerName::try_from("a.test").unwrap();
    let mut client = ClientConnection::new(Arc::new(client_config(&files, None, &[])), name).unwrap();
    let trickle = |client: &mut ClientConnection, stream: &mut TcpStream| {
        let mut out = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut out).unwrap();
        }
        for octet in out {
            stream.write_all(&[octet]).unwrap();
        }
    };
    while client.is_handshaking() {
        trickle(&mut client, &mut stream);
        if client.is_handshaking() {
            client.read_tls(&mut stream).unwrap();
            client.process_new_packets().unwrap();
        }
    }
    client.writer().write_all(b"drop by drop").unwrap();
    trickle(&mut client, &mut stream);
    secured(&rig);
    assert_eq!(rig.octets(12), b"drop by drop");
}

#[test]
fn a_peers_certificate_gives_its_names_if_a_trusted_authority_signed_it() {
    // SIMP-3.6-2, OC-01: the connection has proved the domain.
    let authority = Authority::new();
    let files = authority.server(&["a.test"]);
    let stranger = Authority::new();
    use ExtendedKeyUsagePurpose::{ClientAuth, CodeSigning, ServerAuth};
    let names = &["b.test", "*.b.test", "IM.B.test"];
    let rig = rig(&files);
    let cases: [(Tls, &[&str]); 5] = [
        (authority.sign("b", names, &[ServerAuth]), &["b.test", "im.b.test"]),
        (authority.sign("c", &["c.test"], &[ClientAuth]), &["c.test"]),
        (authority.sign("d", &["d.test"], &[]), &["d.test"]),
        (authority.sign("e", &["e.test"], &[CodeSigning]), &[]),
        (stranger.sign("b", &["b.test"], &[ServerAuth]), &[]),
    ];
    for (shown, expected) in cases {
        let config = client_config(&files, Some(&shown), &["simp/1.0"]);
        let (mut client, conn) = connect(&rig, config.clone(), "a.test");
        client.write_all(b"x").unwrap();
        assert_eq!(secured(&rig).names, expected);
        rig.octets(1);
        rig.order(Order::Write(conn, b"y".to_vec()));
        client.read_exact(&mut [0; 1]).unwrap();
        // A resumed session is judged again, and alike.
        let (mut again, second) = connect(&rig, config, "a.test");
        again.write_all(b"x").unwrap();
        assert_eq!(secured(&rig).names, expected);
        rig.octets(1);
        for conn in [conn, second] {
            rig.want(Output::Close { conn, flush: false });
            rig.closed(conn);
        }
    }
}

fn peer(files: &Tls, ask: bool) -> (TcpListener, Arc<ServerConfig>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let (chain, key) = pair(files);
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let builder = builder.unwrap();
    let builder = if ask {
        let verifier =
            rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots(files)), provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"simp/1.0".to_vec()];
    (TcpListener::bind("127.0.0.1:0").unwrap(), Arc::new(config))
}

#[test]
fn a_dial_shows_our_certificate_and_wants_the_peers_to_name_his_domain() {
    // SIMP-2-3, OC-05
    let authority = Authority::new();
    use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    let ours = authority.sign("a", &["a.test"], &[ServerAuth, ClientAuth]);
    let theirs = authority.sign("b", &["b.test"], &[ServerAuth]);
    let rig = Rig::start(&[], Keys::load(Some(&ours)).unwrap(), None, 10);
    let (listener, config) = peer(&theirs, true);
    rig.dial(1, listener.local_addr().unwrap(), true, "b.test");
    let (stream, _) = listener.accept().unwrap();
    let mut server = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
    server.write_all(b"who is it?").unwrap();
    server.flush().unwrap();
    let conn = match rig.next() {
        Seen::Connected { dial: DialId(1), conn } => conn,
        other => panic!("{other:?}"),
    };
    assert_eq!(server.conn.alpn_protocol(), Some(&b"simp/1.0"[..]));
    assert_eq!(server.conn.peer_certificates().unwrap().len(), 1);
    assert_eq!(rig.octets(10), b"who is it?");
    rig.order(Order::Write(conn, b"me".to_vec()));
    server.read_exact(&mut [0; 2]).unwrap();

    rig.dial(2, listener.local_addr().unwrap(), true, "c.test");
    let (stream, _) = listener.accept().unwrap();
    let mut server = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
    assert!(server.read(&mut [0; 1]).is_err());
    match rig.next() {
        Seen::DialFailed { dial: DialId(2), why } => assert!(why.contains("certificate"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_dial_to_an_untrusted_peer_fails() {
    let authority = Authority::new();
    let theirs = authority.sign("b", &["b.test"], &[ExtendedKeyUsagePurpose::ServerAuth]);
    let rig = Rig::start(&[], Keys::load(None).unwrap(), None, 10);
    let (listener, config) = peer(&theirs, false);
    rig.dial(1, listener.local_addr().unwrap(), true, "b.test");
    let (stream, _) = listener.accept().unwrap();
    let mut server = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
    assert!(server.read(&mut [0; 1]).is_err());
    assert!(matches!(rig.next(), Seen::DialFailed { dial: DialId(1), .. }));
}

#[test]
fn what_is_no_tls_is_closed() {
    let authority = Authority::new();
    let files = authority.server(&["a.test"]);
    let rig = rig(&files);
    let (mut client, conn) = rig.connect();
    client.write_all(b"<?xml version='1.0'?><stream>").unwrap();
    rig.closed(conn);
    let mut rest = Vec::new();
    let _: io::Result<usize> = client.read_to_end(&mut rest);
    assert!(rest.len() < 64);
}

#[test]
fn bad_files_are_named() {
    let authority = Authority::new();
    let good = authority.server(&["a.test"]);
    let other = authority.sign("other", &["a.test"], &[]);
    let says = |tls: &Tls, what: &str| {
        let why = Keys::load(Some(tls)).unwrap_err();
        assert!(why.contains(what) && !why.contains('\n'), "{why}");
    };
    let missing = Tls { certificate: authority.dir.path().join("none.pem"), ..good.clone() };
    says(&missing, "none.pem");
    says(&Tls { key: other.key, ..good.clone() }, "do not go together");
    let empty = authority.dir.path().join("empty.pem");
    fs::write(&empty, "").unwrap();
    says(&Tls { certificate: empty.clone(), ..good.clone() }, "empty.pem");
    says(&Tls { ca: Some(empty), ..good }, "empty.pem");
}

#[test]
fn new_certificates_are_shown_from_the_next_connection_on() {
    let authority = Authority::new();
    let first = authority.server(&["a.test"]);
    let rig = rig(&first);
    let (mut old, conn) = connect(&rig, client_config(&first, None, &[]), "a.test");
    old.write_all(b"x").unwrap();
    secured(&rig);
    rig.octets(1);

    let second = authority.sign("second", &["a2.test"], &[]);
    let new = Arc::new(config(LISTEN, authority.dir.path()));
    let keys = Keys::load(Some(&second)).unwrap();
    let shown = CertificateDer::from_pem_file(&second.certificate).unwrap();
    let reloaded = crate::server::answers::Reloaded { config: new.clone(), keys, restart: Vec::new() };
    rig.answers.send(Answer::Reloaded(Ok(reloaded)));
    match rig.next() {
        Seen::Reconfigured(config) => assert!(Arc::ptr_eq(&config, &new)),
        other => panic!("{other:?}"),
    }
    rig.answers.send(Answer::Reloaded(Err("a bad certificate changes nothing".to_owned())));

    let (mut fresh, _) = connect(&rig, client_config(&first, None, &[]), "a2.test");
    fresh.write_all(b"y").unwrap();
    assert_eq!(secured(&rig).end_point.as_deref(), crate::credential::channel::end_point(&shown).as_deref());
    assert_eq!(rig.octets(1), b"y");
    old.write_all(b"still here").unwrap();
    assert_eq!(rig.octets(10), b"still here");
    rig.want(Output::Close { conn, flush: false });
    rig.closed(conn);
}

/// A session fed by hand: what a client says, changed and cut anyhow, must never do worse than fail.
#[test]
fn nothing_a_client_sends_breaks_more_than_his_own_session() {
    use crate::server::tls::Outgoing;
    use proptest::test_runner::{Config as Runs, TestRunner};
    let authority = Authority::new();
    let files = authority.server(&["a.test"]);
    let keys = Keys::load(Some(&files)).unwrap();
    let config = Arc::new(client_config(&files, Some(&files), &["simp/1.0"]));
    let strategy = proptest::collection::vec(proptest::num::u32::ANY, 1..24);
    let mut runner = TestRunner::new(Runs { failure_persistence: None, cases: 400, ..Runs::default() });
    let run = |dice: Vec<u32>| {
        let mut dice = dice.into_iter().cycle();
        let mut roll = |sides: usize| dice.next().unwrap() as usize % sides;
        let mut client =
            ClientConnection::new(config.clone(), ServerName::try_from("a.test").unwrap()).unwrap();
        let mut server = keys.server.clone().unwrap().accept(ListenProtocol::Tls).unwrap();
        for _ in 0..6 {
            let mut flight = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut flight).unwrap();
            }
            if roll(3) == 0 && !flight.is_empty() {
                let at = roll(flight.len());
                flight[at] ^= 1 << roll(8);
            }
            let mut out = Outgoing::default();
            while !flight.is_empty() {
                let count = 1 + roll(flight.len());
                let mut piece: Vec<u8> = flight.drain(..count).collect();
                if server.receive(&mut piece, &mut out, &keys.trust, &mut |_| ()).is_err() {
                    return Ok(());
                }
            }
            let mut back = out.filled();
            while !back.is_empty() {
                if client.read_tls(&mut back).is_err() || client.process_new_packets().is_err() {
                    return Ok(());
                }
            }
            if !client.is_handshaking() {
                let size = roll(20_000);
                client.writer().write_all(&vec![1; size]).unwrap();
                let mut out = Outgoing::default();
                let _ = server.cipher(b"x", &mut out);
            }
        }
        Ok(())
    };
    runner.run(&strategy, run).unwrap();
}

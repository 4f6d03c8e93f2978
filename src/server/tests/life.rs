//! A whole server's beginning and end: what stops it from starting, its threads, its signals.
use super::*;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;

use crate::server::disk::{Reader, Writer};
use crate::server::password::Passwords;
use crate::server::{Server, ServerError, reload};
use crate::store::record::{Committed, Reading};
use crate::store::{KeyFile, Mode, Store, Trouble};

fn home(text: &str) -> (tempfile::TempDir, Config) {
    let dir = tempfile::tempdir().unwrap();
    let config = config(text, dir.path());
    let key = KeyFile::create(&config.key_file(), [7; 32]).unwrap();
    Store::open(&config.database(), &key, Mode::Create).unwrap();
    (dir, config)
}

fn fails(config: &Config) -> ServerError {
    match Server::open(Arc::new(config.clone())) {
        Ok(_) => panic!("it must not start"),
        Err(e) => {
            assert!(!e.to_string().contains('\n'), "{e}");
            e
        }
    }
}

#[test]
fn a_server_says_where_it_listens_and_ends_when_it_is_told() {
    let (_dir, config) = home(LISTEN);
    for _ in 0..2 {
        let server = Server::open(Arc::new(config.clone())).unwrap();
        let address = server.addresses()[0];
        assert_ne!(address.port(), 0);
        let stopper = server.stopper();
        let running = std::thread::spawn(move || server.run());
        let stream = TcpStream::connect(address).unwrap();
        stopper.stop();
        // The node may take its time, a second word cuts that short.
        stopper.stop();
        running.join().unwrap().unwrap();
        drop(stream);
    }
}

#[test]
fn a_second_server_on_the_data_directory_is_refused() {
    let (_dir, config) = home(LISTEN);
    let first = Server::open(Arc::new(config.clone())).unwrap();
    match fails(&config) {
        ServerError::Store(e) => assert!(matches!(e.trouble, Trouble::Running { .. }), "{e}"),
        other => panic!("{other}"),
    }
    assert!(config.control_socket().exists());
    drop(first);
    Server::open(Arc::new(config)).unwrap();
}

#[test]
fn troubles_at_the_start_are_told_in_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (_dir, config) = home(&format!("[[listen]]\nprotocol = \"simp\"\naddress = \"{address}\"\n"));
    let error = fails(&config);
    assert!(error.to_string().contains("taken"), "{error}");
    drop(taken);
    fs::set_permissions(config.key_file(), fs::Permissions::from_mode(0o644)).unwrap();
    let error = fails(&config);
    assert!(error.to_string().contains("chmod 600"), "{error}");
    fs::set_permissions(config.key_file(), fs::Permissions::from_mode(0o600)).unwrap();
    Server::open(Arc::new(config)).unwrap();

    let (_dir, config) = home("[[listen]]\nprotocol = \"simp\"\naddress = \"192.0.2.1:7467\"\n");
    let error = fails(&config);
    assert!(error.to_string().contains("no such address"), "{error}");
    let privileged = ServerError::Listen(address, std::io::ErrorKind::PermissionDenied.into());
    assert!(privileged.to_string().contains("privileges"));
}

#[test]
fn a_tls_listener_needs_a_certificate() {
    let (_dir, mut config) = home(LISTEN);
    config.listen[0].tls = true;
    let error = fails(&config);
    assert!(error.to_string().contains("needs a certificate"), "{error}");
}

#[test]
fn a_reload_keeps_what_sockets_and_files_were_made_from() {
    let (dir, config) = home(LISTEN);
    let path = dir.path().join("hearth.toml");
    let reloaded = || {
        let (mut waiter, answers) = Waiter::new();
        reload::start(Arc::new(config.clone()), Some(path.clone()), answers);
        match waiter.next() {
            Answer::Reloaded(result) => result,
            other => panic!("{other:?}"),
        }
    };
    let head = "domains = [\"other.test\"]\ndata_dir = \"/elsewhere\"\n";
    fs::write(&path, format!("{head}{LISTEN}[limits]\nkept_days = 3\n")).unwrap();
    let new = reloaded().unwrap();
    assert_eq!(new.config.limits.kept_days, 3);
    assert_eq!(new.config.data_dir, config.data_dir);
    assert_eq!(new.restart, ["domains", "data_dir"]);
    assert!(new.config.domains.contains("example.org"));
    fs::write(&path, format!("{head}{LISTEN}[limits]\nkept_weeks = 3\n")).unwrap();
    let why = reloaded().unwrap_err();
    assert!(why.contains("kept_weeks") && !why.contains('\n'), "{why}");
}

/// An inbox that a test waits at.
struct Waiter {
    poll: Poll,
    inbox: crate::server::answers::Inbox,
}

impl Waiter {
    fn new() -> (Waiter, Answers) {
        let poll = Poll::new().unwrap();
        let (answers, inbox) = Answers::new(poll.registry(), Source::Inbox.token()).unwrap();
        (Waiter { poll, inbox }, answers)
    }

    fn next(&mut self) -> Answer {
        let mut events = mio::Events::with_capacity(8);
        loop {
            if let Some(answer) = self.inbox.take() {
                return answer;
            }
            self.poll.poll(&mut events, Some(PATIENCE)).unwrap();
            assert!(!events.is_empty(), "no answer");
            self.inbox.heard();
        }
    }
}

fn batch(number: u64) -> Batch {
    Batch { number, writes: Vec::new() }
}

#[test]
fn batches_that_wait_are_committed_together_and_answered_in_order() {
    // Design 3: batches group-commit on the writer thread.
    let (mut waiter, answers) = Waiter::new();
    let (go, gate) = mpsc::channel::<()>();
    let groups = Arc::new(Mutex::new(Vec::new()));
    let seen = groups.clone();
    let mut writer = Writer::start(answers, move |batches| {
        gate.recv().unwrap();
        seen.lock().unwrap().push(batches.len());
        let kept = |b: &Batch| (b.number != 3).then(Vec::new);
        batches.iter().map(|b| Committed { number: b.number, outcomes: kept(b) }).collect()
    })
    .unwrap();
    // While the first is on its way, the others gather.
    writer.commit(batch(1));
    for number in 2..=5 {
        writer.commit(batch(number));
    }
    go.send(()).unwrap();
    go.send(()).unwrap();
    for number in 1..=5 {
        match waiter.next() {
            Answer::Committed(c) => assert_eq!((c.number, c.outcomes.is_some()), (number, number != 3)),
            other => panic!("{other:?}"),
        }
    }
    assert!(groups.lock().unwrap().len() <= 2);
    drop(go);
    assert!(writer.finish(PATIENCE));
}

#[test]
fn a_disk_that_hangs_is_not_waited_for_for_ever() {
    let (_waiter, answers) = Waiter::new();
    let (go, gate) = mpsc::channel::<()>();
    let mut writer = Writer::start(answers, move |_| {
        let _ = gate.recv();
        Vec::new()
    })
    .unwrap();
    writer.commit(batch(1));
    assert!(!writer.finish(Duration::from_millis(10)));
    drop(go);
}

#[test]
fn reads_and_passwords_are_answered_at_once_when_too_many_wait() {
    let (mut waiter, answers) = Waiter::new();
    let (go, gate) = mpsc::channel::<()>();
    let reader = Reader::start(answers.clone(), move |questions| {
        let _ = gate.recv();
        questions.iter().map(|_| Reading::PeerRules(Vec::new())).collect()
    })
    .unwrap();
    for number in 0..5000 {
        reader.ask(JobId(number), crate::store::record::Read::PeerRules);
    }
    reader.begin();
    let (mut overloaded, mut answered) = (0, 0);
    assert!(matches!(waiter.next(), Answer::Done(_, JobResult::Overloaded)));
    overloaded += 1;
    drop(go);
    while overloaded + answered < 5000 {
        match waiter.next() {
            Answer::Done(_, JobResult::Overloaded) => overloaded += 1,
            Answer::Done(_, JobResult::Read(_)) => answered += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(answered >= 4096);

    let passwords = Passwords::start(answers).unwrap();
    let verifier =
        crate::credential::PasswordRecord::with_cost("right", [1; 32], crate::credential::Cost::LEAST);
    let verifier = verifier.unwrap().argon2;
    for (password, expected) in [("right", true), ("wrong", false)] {
        let secret = crate::credential::Secret::new(password.to_owned());
        passwords.check(JobId(1), verifier.clone(), secret, false);
        match waiter.next() {
            Answer::Done(JobId(1), JobResult::Verified(verified)) => assert_eq!(verified, expected),
            other => panic!("{other:?}"),
        }
    }
    // Two that keep both threads busy, and then more than may wait.
    for number in 0..200 {
        let verifier = if number < 2 { crate::credential::decoy_verifier() } else { &verifier };
        let secret = crate::credential::Secret::new("x".to_owned());
        passwords.check(JobId(number), verifier.to_owned(), secret, false);
    }
    let overloaded = (0..200)
        .filter(|_| match waiter.next() {
            Answer::Done(_, JobResult::Overloaded) => true,
            Answer::Done(_, JobResult::Verified(_)) => false,
            other => panic!("{other:?}"),
        })
        .count();
    assert!((1..=136).contains(&overloaded), "{overloaded}");
}

#[test]
fn a_known_user_does_not_wait_behind_strangers_who_try_passwords() {
    // design 4: an attacker must not be able to keep a user out.
    let (mut waiter, answers) = Waiter::new();
    let passwords = Passwords::start(answers).unwrap();
    let cheap =
        crate::credential::PasswordRecord::with_cost("right", [1; 32], crate::credential::Cost::LEAST);
    let cheap = cheap.unwrap().argon2;
    let check = |number, known| {
        // Two that keep both threads busy while the others come.
        let verifier = if number < 2 { crate::credential::decoy_verifier() } else { &cheap };
        let secret = crate::credential::Secret::new("x".to_owned());
        passwords.check(JobId(number), verifier.to_owned(), secret, known);
    };
    (0..200).for_each(|number| check(number, false));
    check(1000, true);
    let order = std::iter::from_fn(|| match waiter.next() {
        Answer::Done(_, JobResult::Overloaded) => Some(None),
        Answer::Done(job, JobResult::Verified(_)) => Some(Some(job)),
        other => panic!("{other:?}"),
    });
    let checked: Vec<JobId> = order.take(201).flatten().collect();
    let place = checked.iter().position(|job| *job == JobId(1000)).expect("it was checked");
    // Behind those that were being checked already, or came to be while we asked.
    assert!(place < checked.len() / 2, "{place} of {}", checked.len());
}

#[test]
fn clients_are_let_go_at_the_end() {
    let rig = Rig::plain();
    let (mut client, _) = rig.connect();
    drop(rig);
    assert_eq!(client.read(&mut [0; 1]).unwrap_or(0), 0);
}

/// Connects from an address of this machine, and waits for the server's first words.
fn come(from: &str, to: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&format!("{from}:0").parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut greeting = [0; 30];
    stream.read_exact(&mut greeting).unwrap();
    stream
}

#[test]
fn who_comes_alone_gets_in_however_many_come_from_elsewhere() {
    // design 9: a flood of connections takes nobody else's place.
    let (_dir, config) = home(LISTEN);
    let mut server = Server::open(Arc::new(config)).unwrap();
    server.parts.room = 40;
    let (address, stopper) = (server.addresses()[0], server.stopper());
    let running = std::thread::spawn(move || server.run());
    let mut crowd: Vec<TcpStream> = (0..60).map(|_| come("127.0.0.2", address)).collect();
    let mut alone = come("127.0.0.3", address);
    crowd.extend((0..60).map(|_| come("127.0.0.2", address)));
    let login = "<?xml version=\"1.0\"?><stream><properties><entry key=\"action\">login</entry>\
                 <entry key=\"request\">7</entry><entry key=\"user\">alice</entry></properties>";
    alone.write_all(login.as_bytes()).unwrap();
    let mut answer = String::new();
    while !answer.contains("</properties>") {
        let mut piece = [0; 512];
        let count = alone.read(&mut piece).unwrap();
        assert_ne!(count, 0, "{answer}");
        answer.push_str(&String::from_utf8_lossy(&piece[..count]));
    }
    assert!(answer.contains("opaque"), "{answer}");
    // The first of the crowd had to go.
    let end = crowd[0].read_to_end(&mut Vec::new());
    assert!(end.is_ok_and(|rest| rest < 8), "it was told no more than the rest of the greeting");
    stopper.stop();
    stopper.stop();
    running.join().unwrap().unwrap();
}

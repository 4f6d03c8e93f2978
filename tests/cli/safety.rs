//! What the server's process may do, what its files let others do, and what it never tells: its privileges and
//! its secrets, looked at from outside (design 4, 9).

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, Once};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hearth::client::{self, Account, Login, Message, Proof, Session};
use hearth::credential::scram::{Binding, Client};
use hearth::credential::{Secret, sasl::Plain};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use crate::house::House;

/// Nothing here takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server whose log is read all the time, so that it never waits for a reader.
struct Watched {
    child: Child,
    log: Receiver<String>,
    seen: String,
}

impl Watched {
    fn serve(house: &House, level: &str) -> Watched {
        let mut command = house.command(&["serve"]);
        let mut child = command.env("RUST_LOG", level).stdin(Stdio::null()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let (tell, log) = channel();
        std::thread::spawn(move || {
            let mut line = Vec::new();
            while stderr.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                if tell.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
                line.clear();
            }
        });
        let mut watched = Watched { child, log, seen: String::new() };
        watched.wait_for("listening on");
        watched
    }

    fn wait_for(&mut self, text: &str) {
        while !self.seen.contains(text) {
            let line = self.log.recv_timeout(PATIENCE);
            self.seen += &line.unwrap_or_else(|e| panic!("{e} before {text:?}: {}", self.seen));
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap()
    }

    /// Ends it; all that it has logged.
    fn stop(mut self) -> String {
        self.signal("-TERM");
        while let Ok(line) = self.log.recv_timeout(PATIENCE) {
            self.seen += &line;
        }
        assert!(self.child.wait().unwrap().success(), "{}", self.seen);
        std::mem::take(&mut self.seen)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Has this kernel Landlock? Asked of it, not of the server.
fn kernel_confines() -> bool {
    use landlock::{ABI, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr};
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    ruleset.handle_access(AccessFs::from_write(ABI::V1)).and_then(|ruleset| ruleset.create()).is_ok()
}

#[test]
fn writing_outside_the_data_directory_fails() {
    // design 9; permissions would allow it: the folder is the same user's
    let house = House::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let victim = elsewhere.path().join("victim");
    fs::write(&victim, "kept\n").unwrap();
    symlink(&victim, house.path("hearth.lock")).unwrap();
    let ran = house.run(&["serve"]);
    if !kernel_confines() {
        eprintln!("this kernel has no Landlock: nothing to be tried");
        return;
    }
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.err.contains("ermission denied"), "{ran:?}");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "kept\n");
}

#[test]
fn the_confined_server_does_all_that_it_has_to() {
    // Configuration and certificate lie outside the data directory, as does the backup.
    let files = tempfile::tempdir().unwrap();
    let data = files.path().join("data");
    let house = House::made_with(
        "example.org",
        "127.0.0.1:9".parse().unwrap(),
        &["--dev", "--data-dir", data.to_str().unwrap()],
    );
    let mut serving = Watched::serve(&house, "info");
    if kernel_confines() {
        assert!(serving.seen.contains("writes are confined to "), "{}", serving.seen);
        assert!(serving.proc("status").contains("NoNewPrivs:\t1"));
    }
    // No core, and nobody but root reads its memory.
    let limits = serving.proc("limits");
    let cores = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(cores.split_whitespace().filter(|word| *word == "0").count(), 2, "{cores}");
    house.add("alice");
    house.run(&["backup", "copy.db"]).ok();
    // A handshake that begins with its end: strangers have nothing written into the log.
    let mut stranger = Wire::open(&house, 7443);
    stranger.say(b"\x16\x03\x01\x00\x04\x14\x00\x00\x00");
    let _ = stranger.stream.read_to_end(&mut stranger.heard);
    serving.signal("-HUP");
    serving.wait_for("configuration and certificates were read again");
    house.add("bob");
    let said = serving.stop();
    assert!(!said.contains("ERROR") && !said.contains("WARN"), "{said}");
    assert_eq!(house.run(&["user", "list"]).ok(), "alice@example.org\nbob@example.org\n");
}

#[test]
fn the_unit_shuts_the_server_in() {
    // By systemd's own measure, tenths of ten.
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/hearth.service");
    let mut analyze = Command::new("systemd-analyze");
    let Ok(said) = analyze.args(["security", "--offline=yes", "--threshold=15"]).arg(&unit).output() else {
        println!("SKIP: systemd-analyze is not installed (apt-get install systemd)");
        return;
    };
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
    let text = fs::read_to_string(unit).unwrap();
    for line in
        ["User=hearth", "ProtectSystem=strict", "StateDirectory=hearth", "SystemCallFilter=setpriority"]
    {
        assert!(text.lines().any(|l| l == line), "{line}");
    }
}

#[test]
fn a_database_that_is_a_link_is_written_where_it_is() {
    let house = House::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let real = elsewhere.path().join("real.db");
    fs::rename(house.path("hearth.db"), &real).unwrap();
    symlink(&real, house.path("hearth.db")).unwrap();
    let serving = Watched::serve(&house, "info");
    house.add("alice");
    serving.stop();
    assert_eq!(house.run(&["user", "list"]).ok(), "alice@example.org\n");
}

#[test]
fn nobody_else_can_open_its_files() {
    // design 4
    let house = House::new();
    let serving = Watched::serve(&house, "info");
    house.add("alice");
    house.run(&["backup", "copy.db"]).ok();
    let names = [
        "hearth.db",
        "hearth.db-wal",
        "hearth.db-shm",
        "hearth.key",
        "hearth.lock",
        "control.sock",
        "copy.db",
    ];
    for name in names {
        let mode = fs::metadata(house.path(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{name}: {mode:o}");
    }
    serving.stop();
    let made = tempfile::tempdir().unwrap();
    let data = made.path().join("data");
    let data = data.to_str().unwrap();
    House::made_with("example.net", "127.0.0.1:9".parse().unwrap(), &["--data-dir", data]);
    let mode = fs::metadata(data).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o700, "the folder that init makes: {mode:o}");
}

/// What must not be seen anywhere, each with what it is.
#[derive(Default)]
struct Secrets(Vec<(String, Vec<u8>)>);

impl Secrets {
    fn add(&mut self, what: &str, octets: &[u8]) {
        // What is shorter may be seen by chance.
        if octets.len() >= 8 {
            self.0.push((what.to_owned(), octets.to_vec()));
        }
    }

    /// Fails if one of them is in the text: as it is, in Base64 at any offset, in hexadecimal, as a list of numbers.
    fn none_in(&self, place: &str, text: &str) {
        let lower = text.to_lowercase();
        for (what, octets) in &self.0 {
            let raw = String::from_utf8_lossy(octets);
            assert!(!text.contains(&*raw), "{place}: {what} is in it");
            assert!(!text.contains(&raw.escape_debug().to_string()), "{place}: {what} is in it, escaped");
            for skipped in 0..3 {
                // Groups that begin and end within the octets look alike whatever is around them.
                let whole = octets.get(skipped..).unwrap_or_default();
                let whole = &whole[..whole.len() / 3 * 3];
                let encoded = STANDARD.encode(whole);
                let url = encoded.replace('+', "-").replace('/', "_");
                let found = encoded.len() >= 8 && (text.contains(&encoded) || text.contains(&url));
                assert!(!found, "{place}: {what} is in it, in Base64");
            }
            let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
            assert!(!lower.contains(&hex), "{place}: {what} is in it, in hexadecimal");
            let numbers: Vec<String> = octets.iter().map(u8::to_string).collect();
            assert!(!text.contains(&numbers.join(", ")), "{place}: {what} is in it, as numbers");
        }
    }
}

#[test]
fn a_secret_is_found_in_every_guise() {
    // What the tests below rely on.
    let mut secrets = Secrets::default();
    secrets.add("it", b"s\xffcret \"key\"");
    let octets = &secrets.0[0].1;
    let around = [b"ab", octets.as_slice(), b"xyz"].concat();
    let hex: String = octets.iter().map(|octet| format!("{octet:02X}")).collect();
    let guises = [
        String::from_utf8_lossy(octets).into_owned(),
        format!("{:?}", String::from_utf8_lossy(octets)),
        STANDARD.encode(octets),
        STANDARD.encode(&around),
        STANDARD.encode(&around[1..]),
        hex,
        format!("{octets:?}"),
    ];
    for guise in guises {
        let text = format!("before {guise} after");
        let found = std::panic::catch_unwind(|| secrets.none_in("here", &text)).is_err();
        assert!(found, "{text}");
    }
    secrets.none_in("here", "something else");
}

/// A connection to a port of the house; all that is said on it is a secret.
struct Wire {
    stream: TcpStream,
    heard: Vec<u8>,
}

impl Wire {
    fn open(house: &House, port: u16) -> Wire {
        let stream = TcpStream::connect((house.ip, port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Wire { stream, heard: Vec::new() }
    }

    fn say(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).unwrap();
    }

    /// What comes next, at least until this has come.
    fn hear(&mut self, until: &str) -> String {
        self.heard.clear();
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&self.heard).contains(until) {
            let count = self.stream.read(&mut buffer).unwrap();
            assert_ne!(count, 0, "closed before {until:?}: {}", String::from_utf8_lossy(&self.heard));
            self.heard.extend_from_slice(&buffer[..count]);
        }
        String::from_utf8_lossy(&self.heard).into_owned()
    }
}

/// The value of an entry of a SIMP command.
fn entry<'t>(text: &'t str, key: &str) -> &'t str {
    let (_, rest) =
        text.split_once(&format!("<entry key=\"{key}\">")).unwrap_or_else(|| panic!("{key} in {text}"));
    rest.split_once("</entry>").unwrap().0
}

/// A login of SIMP with everything that goes over the wire noted; gives the session's connection.
fn log_in_by_simp(house: &House, user: &str, proof: Proof, secrets: &mut Secrets) -> Option<(Wire, Session)> {
    let account = Account::new(&format!("{user}@{}", house.domain), proof).unwrap();
    let mut login = Login::new(account.clone(), true);
    let mut wire = Wire::open(house, 7467);
    wire.say(login.unsent());
    let heard = wire.hear("</properties>");
    for key in ["nonce", "opaque"] {
        secrets.add(key, entry(&heard, key).as_bytes());
    }
    let ticket = login.receive(heard.as_bytes()).unwrap().expect("a challenge");
    let mut session = Session::new(account, &ticket, true);
    let said = String::from_utf8_lossy(session.unsent()).into_owned();
    let authorization = entry(&said, "authorization");
    secrets.add("a SIMP authorization", authorization.as_bytes());
    secrets.add("a digest's octets", &STANDARD.decode(authorization).unwrap());
    let mut wire = Wire::open(house, 7468);
    wire.say(session.unsent());
    session.sent(usize::MAX);
    let heard = wire.hear("</properties>");
    session.receive(heard.as_bytes()).is_ok().then_some((wire, session))
}

/// An `auth` of IMTP or PITP.
fn auth(id: u8, mechanism: Option<&str>, payload: &[u8]) -> Vec<u8> {
    let mechanism = mechanism.map(|name| format!("Mechanism: {name}\r\n")).unwrap_or_default();
    let head = format!(">{id} auth\r\n{mechanism}Content-Length: {}\r\n\r\n", payload.len());
    [head.as_bytes(), payload].concat()
}

fn log_in_by_plain(house: &House, port: u16, user: &str, password: &str, secrets: &mut Secrets) -> Wire {
    let mut wire = Wire::open(house, port);
    wire.hear("\r\n");
    let message = Plain::write("", user, &Secret::new(password.to_owned()));
    secrets.add("PLAIN", &message);
    wire.say(&auth(1, Some("PLAIN"), &message));
    wire.hear("<1 ");
    wire
}

fn log_in_by_scram(house: &House, port: u16, user: &str, password: &str, secrets: &mut Secrets) {
    let mut wire = Wire::open(house, port);
    wire.hear("\r\n");
    let nonce = format!("nonce of a client at {port}");
    let nonce = STANDARD.encode(nonce);
    let secret = Secret::new(password.to_owned());
    let (mut client, first) = Client::start(user, secret, &nonce, Binding::None).unwrap();
    wire.say(&auth(1, Some("SCRAM-SHA-256"), &first));
    let heard = wire.hear(",i=");
    let challenge = heard.split_once("\r\n\r\n").unwrap().1.to_owned();
    let last = client.respond(challenge.as_bytes()).unwrap();
    wire.say(&auth(2, None, &last));
    let heard = wire.hear("<2 ");
    for (what, text) in
        [("the challenge", challenge), ("the proof", String::from_utf8(last).unwrap()), ("the end", heard)]
    {
        for attribute in text.split([',', '\r', '\n']) {
            if let Some((name @ ("r" | "s" | "p" | "v"), value)) = attribute.split_once('=') {
                secrets.add(&format!("{name} of {what}"), value.as_bytes());
                if let Ok(octets) = STANDARD.decode(value) {
                    secrets.add(&format!("{name} of {what}, its octets"), &octets);
                }
            }
        }
    }
}

/// The key file's secret.
fn key_file(path: &Path) -> String {
    fs::read_to_string(path).unwrap().lines().nth(1).unwrap().to_owned()
}

#[test]
fn no_secret_reaches_the_log_or_the_status() {
    // design 4: every kind of login, right and wrong, at the most talkative level
    const PASSWORD: &str = "correct horse";
    const WRONG: &str = "a wrong password of somebody";
    const BODY: &str = "what only Bob shall read";
    let house = House::made_with("example.org", "127.0.0.1:9".parse().unwrap(), &["--dev"]);
    let all = "trace,rustls=trace,hickory_net=trace,hickory_proto=trace,hickory_resolver=trace";
    let serving = Watched::serve(&house, all);
    house.add("alice");
    house.add("bob");
    let key = house.run(&["user", "key", "add", "alice", "phone"]).ok().trim_end().to_owned();
    let mut secrets = Secrets::default();
    secrets.add("the password", PASSWORD.as_bytes());
    secrets.add("a wrong password", WRONG.as_bytes());
    secrets.add("the device key", key.as_bytes());
    let file = key_file(&house.path("hearth.key"));
    secrets.add("the key file's octets", &STANDARD.decode(&file).unwrap());
    let tls = PrivateKeyDer::from_pem_file(house.path("privkey.pem")).unwrap();
    secrets.add("the TLS key", tls.secret_der());
    secrets.add("a message", BODY.as_bytes());

    let password = |text: &str| Proof::Password(Secret::new(text.to_owned()));
    let (mut bob, mut hears) = log_in_by_simp(&house, "bob", password(PASSWORD), &mut secrets).unwrap();
    assert!(log_in_by_simp(&house, "bob", password(WRONG), &mut secrets).is_none());
    let digest = Proof::DeviceKey(Secret::new(key.clone()));
    let (mut alice, mut session) = log_in_by_simp(&house, "alice", digest, &mut secrets).unwrap();
    let wrong = Proof::DeviceKey(Secret::new(WRONG.to_owned()));
    assert!(log_in_by_simp(&house, "alice", wrong, &mut secrets).is_none());
    for port in [4687, 7487] {
        log_in_by_scram(&house, port, "alice", PASSWORD, &mut secrets);
        log_in_by_scram(&house, port, "alice", WRONG, &mut secrets);
        log_in_by_plain(&house, port, "alice", WRONG, &mut secrets);
        log_in_by_plain(&house, port, "alice", PASSWORD, &mut secrets);
    }
    let server = format!("{}:7443", house.ip);
    for (password, status) in [(PASSWORD, 0), (WRONG, 1)] {
        let args = ["chat", "--password-stdin", "--server", &server, "alice"];
        assert_eq!(house.run_with(&args, &format!("{password}\n")).status, status, "on TLS");
    }
    // A message that is answered, by way of the server.
    let to = format!("bob@{}", house.domain);
    let message =
        Message { to, reply_to: None, content_type: "text/plain".to_owned(), body: BODY.to_owned() };
    session.send(&message).unwrap();
    alice.say(session.unsent());
    session.sent(usize::MAX);
    let heard = bob.hear(BODY);
    hears.receive(heard.as_bytes()).unwrap();
    while let Some(event) = hears.poll_event() {
        if let client::Event::Message { id, .. } = event {
            hears.okay(id, "read");
        }
    }
    bob.say(hears.unsent());
    alice.hear("okay");
    // What is malformed is told of at the lowest level: with nothing of what it was.
    alice.say(format!("<properties><entry key='password'>{WRONG}").as_bytes());
    alice.say(b"</nonsense>");
    let mut half = Wire::open(&house, 4687);
    half.say(&auth(1, Some("PLAIN"), format!("\0alice\0{PASSWORD}\0{WRONG}").as_bytes()));
    half.hear("<1 ");

    let status = house.run(&["status", "--json"]).ok();
    let told = [status, house.run(&["status"]).ok(), house.run(&["user", "show", "alice"]).ok()].concat();
    let log = serving.stop();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the level is what it should be: {log}");
    assert!(log.contains("ClientHello"), "TLS is told of too: {log}");
    let kinds: BTreeSet<&str> = secrets.0.iter().map(|(what, _)| what.as_str()).collect();
    assert!(
        kinds.contains("p of the proof") && kinds.contains("v of the end") && kinds.len() >= 12,
        "{kinds:?}"
    );
    secrets.none_in("the log", &log);
    secrets.none_in("the status", &told);
}

/// What the simulated servers log, all of it.
struct Capture(Mutex<String>);

impl log::Log for Capture {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let mut said = self.0.lock().unwrap();
        *said += &format!("{} {}: {}\n", record.level(), record.target(), record.args());
    }

    fn flush(&self) {}
}

static CAPTURE: Capture = Capture(Mutex::new(String::new()));

/// From now on all that simulated servers log is in [`CAPTURE`], at every level.
fn capture() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&CAPTURE).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
    });
}

#[test]
fn no_secret_reaches_the_log_of_a_simulated_server() {
    // design 4: every conversation about logins, by each protocol, with what goes wrong in them
    capture();
    for name in ["login.simp", "entrance.imtp", "crosswise.simp", "kept.simp"] {
        let path = format!("{}/tests/scripts/{name}", env!("CARGO_MANIFEST_DIR"));
        let scripts = hearth::sim::script::parse(&fs::read_to_string(path).unwrap()).unwrap();
        for script in &scripts {
            hearth::sim::play::play(script, 1).unwrap_or_else(|why| panic!("{name}: {why}"));
        }
    }
    let said = CAPTURE.0.lock().unwrap();
    let mut secrets = Secrets::default();
    for what in ["password-of-", "key-of-", "password-of-alice", "key-of-alice", "password-of-bob"] {
        secrets.add(what, what.as_bytes());
    }
    assert!(said.contains("DEBUG") || said.contains("INFO"), "something is logged: {said}");
    secrets.none_in("the log", &said);
}

#[test]
fn what_others_can_have_logged_is_a_line_a_second() {
    // design 9: nothing a peer sends makes anything grow without bound, the log neither
    const DOMAINS: usize = 300;
    capture();
    let mut world = hearth::sim::world::World::new(1);
    let home = world.add_home(&["a.test"]);
    world.add_user(home, "alice@a.test");
    let alice = world.login(home, "alice", "alice", "key-of-alice");
    let began = world.now;
    for n in 0..DOMAINS {
        let to = format!("x@d{n}.nowhere.test");
        let message = [
            ("action", "send"),
            ("to", &*to),
            ("from", "alice@a.test"),
            ("type", "text/plain"),
            ("body", "anybody?"),
        ];
        world.request(alice, &message);
        world.run_for(Duration::from_millis(10));
    }
    world.run_for(Duration::from_secs(1));
    let seconds = ((world.now - began) / 1000) as usize;
    let said = CAPTURE.0.lock().unwrap();
    let told =
        |level: &str| said.lines().filter(|l| l.starts_with(level) && l.contains("no link to d")).count();
    assert_eq!(told("INFO") + told("DEBUG"), DOMAINS, "each is known to who wants to know");
    assert!((1..=10 + seconds).contains(&told("INFO")), "{} lines in {seconds} s", told("INFO"));
}

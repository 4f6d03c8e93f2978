//! `hearth send`, within a domain and between two, found by nothing but what `init` has written and printed.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use hearth::client::blocking::{Client, Place};
use hearth::client::{Account, Event, Proof};
use hearth::credential::Secret;

use crate::dns;
use crate::house::{House, Ran};

/// Nothing here takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A user of a house and his device key.
struct User<'h> {
    house: &'h House,
    address: String,
    key: String,
}

impl<'h> User<'h> {
    fn new(house: &'h House, name: &str) -> User<'h> {
        house.add(name);
        let key = house.run(&["user", "key", "add", name, "test"]).ok().trim_end().to_owned();
        User { house, address: format!("{name}@{}", house.domain), key }
    }

    fn send(&self, to: &str, text: &str) -> Ran {
        self.house.run_as(&self.key, &["send", "--as", &self.address, to], text)
    }

    /// Goes online, on a thread that answers every message with okay and hands on its body.
    fn listen(&self) -> Listening {
        let proof = Proof::DeviceKey(Secret::new(self.key.clone()));
        let account = Account::new(&self.address, proof).unwrap();
        let place = Place::clear(&self.house.ip.to_string(), 7467);
        let mut client = Client::login(&place, account).unwrap();
        let (tell, heard): (Sender<String>, _) = channel();
        std::thread::spawn(move || {
            while let Ok(Some(event)) = client.next_event(PATIENCE) {
                if let Event::Message { id, message } = event {
                    client.okay(id, "read").unwrap();
                    if tell.send(message.body).is_err() {
                        break;
                    }
                }
            }
        });
        Listening(heard)
    }
}

struct Listening(Receiver<String>);

impl Listening {
    fn next(&self) -> String {
        self.0.recv_timeout(PATIENCE).expect("a message comes")
    }
}

#[test]
fn the_exit_status_says_what_became_of_it() {
    let house = House::new();
    let (alice, bob) = (User::new(&house, "alice"), User::new(&house, "bob"));
    let serving = house.serve();
    // SIMP-1-3, SIMP-1-4
    let away = alice.send("bob", "anybody?").refused(1);
    assert!(away.starts_with("not delivered to bob@example.org: "), "{away}");
    let listening = bob.listen();
    assert_eq!(alice.send("bob", "two\nlines\n").ok(), "");
    assert_eq!(listening.next(), "two\nlines");
    alice.send("bob@example.org", "").ok();
    assert_eq!(listening.next(), "");
    let stranger = alice.send("carol", "who?").refused(1);
    assert!(stranger.starts_with("not delivered to carol@example.org: "), "{stranger}");
    serving.stop();
}

#[test]
fn a_message_may_wait_for_its_recipient() {
    let house = House::new();
    let (alice, bob) = (User::new(&house, "alice"), User::new(&house, "bob"));
    house.run(&["user", "set", "bob", "messages=keep"]).ok();
    let serving = house.serve();
    let kept = alice.send("bob", "later").ok();
    assert_eq!(kept, "bob@example.org is away: the message is kept and will be read later\n");
    assert_eq!(bob.listen().next(), "later");
    serving.stop();
}

#[test]
fn a_sender_who_is_not_who_he_says_is_refused() {
    let house = House::new();
    let alice = User::new(&house, "alice");
    let down = alice.send("bob", "x").refused(1);
    assert!(down.starts_with("the server of alice@example.org can't be reached: "), "{down}");
    let serving = house.serve();
    let wrong = house.run_as("wrong", &["send", "--as", "alice", "bob"], "x").refused(1);
    assert!(wrong.starts_with("alice@example.org can't log in: "), "{wrong}");
    let unknown = house.run_as(&alice.key, &["send", "--as", "carol", "bob"], "x").refused(1);
    assert!(unknown.starts_with("carol@example.org can't log in: "), "{unknown}");
    let nobody = house.run_as(&alice.key, &["send", "bob"], "x").refused(2);
    assert!(nobody.contains("--as ADDRESS, or set $HEARTH_ADDRESS"), "{nobody}");
    let keyless = house.run(&["send", "--as", "alice", "bob", "x"]).refused(2);
    assert!(keyless.contains("no device key of alice@example.org"), "{keyless}");
    let long = house.run_as(&alice.key, &["send", "--as", "alice", "bob"], &"x".repeat(65_537)).refused(1);
    assert_eq!(long, "the message is longer than 65536 octets");
    serving.stop();
}

/// Two domains made by `init` alone, whose servers find each other by the records it has printed.
pub fn two_domains() -> (House, House) {
    let zone = dns::later();
    let (a, b) = (House::made("a.test", zone.address()), House::made("b.test", zone.address()));
    zone.publish(&format!("{}{}", a.said, b.said));
    (a, b)
}

#[test]
fn two_domains_configured_by_init_alone_talk_to_each_other() {
    let (a, b) = two_domains();
    let (alice, bob) = (User::new(&a, "alice"), User::new(&b, "bob"));
    let (serving_a, mut serving_b) = (a.serve(), b.serve());
    let checked = a.run(&["check"]);
    assert_eq!(checked.status, 0, "{checked:?}");
    assert!(checked.out.contains(&format!("at {}: that is here", a.ip)), "{checked:?}");
    let tested = a.run(&["peer", "test", "b.test"]).ok();
    assert!(tested.ends_with("b.test is reached\n"), "{tested}");
    let nowhere = a.run(&["peer", "test", "c.test"]);
    assert_eq!(nowhere.status, 1, "{nowhere:?}");
    for round in ["first", "again"] {
        let (at_a, at_b) = (alice.listen(), bob.listen());
        alice.send("bob@b.test", round).ok();
        assert_eq!(at_b.next(), round);
        bob.send("alice@a.test", round).ok();
        assert_eq!(at_a.next(), round);
        // The second round finds a server that was killed and started again.
        serving_b.kill();
        serving_b = b.serve();
    }
    let links = a.run(&["peer", "list", "--json"]).ok();
    assert!(links.contains("\"b.test\""), "{links}");
    serving_b.stop();
    let gone = alice.send("bob@b.test", "x").refused(1);
    assert!(gone.starts_with("not delivered to bob@b.test: "), "{gone}");
    serving_a.stop();
}

#[test]
fn two_domains_that_insist_on_certificates_talk_on_tls() {
    let zone = dns::later();
    let made = |domain| House::made_with(domain, zone.address(), &["--dev"]);
    let (a, b) = (made("a.test"), made("b.test"));
    for (house, other) in [(&a, &b), (&b, &a)] {
        let file = house.path("hearth.toml");
        let ca = format!("\nca = {:?}\n", other.path("fullchain.pem"));
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.replacen("\nkey = \"privkey.pem\"\n", &format!("\nkey = \"privkey.pem\"{ca}"), 1);
        std::fs::write(&file, text.replacen("# require = \"medium\"", "require = \"strong\"", 1)).unwrap();
    }
    // The records of TLS are printed behind ';': they are for certificates that others trust, and these do.
    zone.publish(&format!("{}{}", a.said, b.said).replace("; _simps", "_simps"));
    let (alice, bob) = (User::new(&a, "alice"), User::new(&b, "bob"));
    let (serving_a, serving_b) = (a.serve(), b.serve());
    let checked = a.run(&["check"]);
    assert_eq!(checked.status, 0, "{checked:?}");
    let tested = a.run(&["peer", "test", "b.test"]).ok();
    assert!(tested.contains(&format!("{}:7443", b.ip)), "{tested}");
    let listening = bob.listen();
    alice.send("bob@b.test", "in private").ok();
    assert_eq!(listening.next(), "in private");
    let server = format!("{}:7443", a.ip);
    let args = ["send", "--as", "alice", "--server", &server, "--tls", "bob@b.test", "all the way"];
    a.run_as(&alice.key, &args, "").ok();
    assert_eq!(listening.next(), "all the way");
    serving_a.stop();
    serving_b.stop();
}

// COMMON-6.1-2, IMTP-6.1-1
#[test]
fn a_sender_without_a_configuration_finds_his_server_by_dns() {
    let (a, b) = two_domains();
    let (alice, bob) = (User::new(&a, "alice"), User::new(&b, "bob"));
    let (serving_a, serving_b) = (a.serve(), b.serve());
    let listening = bob.listen();
    let elsewhere = tempfile::tempdir().unwrap();
    let key = elsewhere.path().join("key");
    std::fs::write(&key, format!("{}\n", alice.key)).unwrap();
    let send = |args: &[&str]| {
        let common = ["send", "--as", "alice@a.test", "--key-file", "key"];
        crate::house::hearth_in(elsewhere.path(), &[&common, args].concat(), "")
    };
    send(&["--dns", &a.dns.to_string(), "bob@b.test", "by DNS"]).ok();
    assert_eq!(listening.next(), "by DNS");
    send(&["--server", &format!("{}:7467", a.ip), "bob@b.test", "by address"]).ok();
    assert_eq!(listening.next(), "by address");
    let said = ["send", "--as", "alice@a.test", "--password-stdin", "--dns", &a.dns.to_string()];
    let words = ["--over", "imtp", "bob@b.test", "by IMTP"];
    crate::house::hearth_in(elsewhere.path(), &[&said[..], &words].concat(), "correct horse\n").ok();
    assert_eq!(listening.next(), "by IMTP");
    serving_a.stop();
    serving_b.stop();
}

// COMMON-6.1-3
#[test]
fn a_domain_that_publishes_nothing_is_looked_for_at_its_own_address() {
    let zone = dns::later();
    let house = House::made("a.test", zone.address());
    zone.publish(&format!("a.test. 3600 IN A {}\n", house.ip));
    let (alice, bob) = (User::new(&house, "alice"), User::new(&house, "bob"));
    let serving = house.serve();
    let listening = bob.listen();
    let elsewhere = tempfile::tempdir().unwrap();
    let name_server = house.dns.to_string();
    let said = ["send", "--as", &alice.address, "--password-stdin", "--dns", &name_server, "--over", "imtp"];
    let args = [&said[..], &["bob@a.test", "at the usual port"]].concat();
    crate::house::hearth_in(elsewhere.path(), &args, "correct horse\n").ok();
    assert_eq!(listening.next(), "at the usual port");
    serving.stop();
}

#[test]
fn the_demonstration_goes_as_it_should() {
    let said = crate::house::hearth_in(Path::new("/"), &["demo", "--once"], "").ok();
    for part in ["okay: read", "presence: online, \"at lunch\"", "error: the recipient is not available"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(said.contains("notifier@a.test   --> alice@a.test"), "{said}");
    // Each protocol, and across the families (design 10).
    for part in [
        "bob@b.test        --> alice@a.test       ok\n",
        "bob@b.test        --> alice@a.test       presence: contact = im:bob@b.test",
        "bob@b.test        --> alice@a.test       presence: online, \"at home\"",
        "send \"From IMTP to SIMP\"",
        "hearth:message = \"on the train\"",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(said.ends_with("All went as it should.\n\n"), "{said}");
}

//! Hostile and clumsy peers, beyond what a conversation can say: octets that are no text, floods,
//! readers that never read. Each costs bounded memory, and nobody else anything.

use std::time::Duration;

use hearth::limits;
use hearth::sim::client::{Answer, ClientId};
use hearth::sim::clients::{PATIENCE, client_address};
use hearth::sim::play::play;
use hearth::sim::reader::HEADER;
use hearth::sim::script::parse;
use hearth::sim::world::{HostId, NOTIFICATION, ROUTING, World};

use crate::seeds;

fn house(seed: u64) -> (World, HostId) {
    let mut world = World::new(seed);
    let home = world.add_home(&["a.test"]);
    for user in ["alice@a.test", "bob@a.test"] {
        world.add_user(home, user);
    }
    (world, home)
}

fn raw(world: &mut World, home: HostId, port: u16) -> ClientId {
    let client = world.new_client("x", client_address());
    let place = world.place(home, port);
    world.open(client, place);
    client
}

fn message<'a>(to: &'a str, from: &'a str, body: &'a str) -> [(&'a str, &'a str); 5] {
    [("action", "send"), ("to", to), ("from", from), ("type", "text/plain"), ("body", body)]
}

/// Still serves: a message goes through.
fn still_serves(world: &mut World, home: HostId) {
    let alice = world.login(home, "alice", "alice", "key-of-alice");
    let bob = world.login(home, "bob", "bob", "key-of-bob");
    world.answers(bob, Answer::Okay, Answer::Okay);
    let id = world.request(alice, &message("bob@a.test", "alice@a.test", "hello"));
    assert_eq!(world.reply(alice, &id).expect("an answer").action(), "okay");
    world.close(alice, false);
    world.close(bob, false);
}

// SIMP-3.5-6 OC-27
#[test]
fn octets_that_are_no_utf8_end_the_stream() {
    let inputs: [&[u8]; 6] = [
        b"\xff\xfe<\0?\0x\0m\0l\0",
        b"<?xml version=\"1.0\"?><stream><properties><entry key=\"a\">\xc3\x28</entry></properties>",
        b"<?xml version=\"1.0\"?><stream><properties><entry key=\"a\">\xed\xa0\x80</entry></properties>",
        b"<?xml version=\"1.0\"?><stream><properties><entry key=\"\xc0\xaf\">x</entry></properties>",
        b"<?xml version=\"1.0\"?><stream>\xef\xbf\xbe",
        b"\0\0\0\0",
    ];
    for seed in seeds(3) {
        let (mut world, home) = house(seed);
        for input in inputs {
            let x = raw(&mut world, home, ROUTING);
            world.write(x, input);
            let closed = world.run_until(PATIENCE, |w| w.peek(x).closed);
            assert!(closed, "{}", String::from_utf8_lossy(input));
        }
        still_serves(&mut world, home);
    }
}

// SIMP-3.5-5 OC-26 OC-27 OC-30
#[test]
fn bombs_are_cut_off() {
    let deep = "<properties>".repeat(20_000);
    let entity = "<!DOCTYPE stream [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;\">]>";
    let comment = format!("<!--{}", "x".repeat(300_000));
    let white = " ".repeat(300_000);
    let entries = format!("<properties>{}", "<entry key='a'>x</entry>".repeat(20_000));
    let attribute = format!("<properties><entry key=\"{}", "k".repeat(300_000));
    let header = format!("<?xml version=\"1.0\"{}", " ".repeat(300_000));
    for (what, before, input, cut) in [
        ("depth", HEADER, deep.as_str(), true),
        ("entities", "<?xml version=\"1.0\"?>", entity, true),
        ("a comment", HEADER, comment.as_str(), true),
        ("entries", HEADER, entries.as_str(), true),
        ("a key", HEADER, attribute.as_str(), true),
        ("a header", "", header.as_str(), true),
        // White space between objects carries nothing and costs nothing.
        ("white space", HEADER, white.as_str(), false),
    ] {
        let (mut world, home) = house(7);
        let x = raw(&mut world, home, ROUTING);
        world.write(x, before.as_bytes());
        world.write(x, input.as_bytes());
        let closed = world.run_until(PATIENCE, |w| w.peek(x).closed);
        assert_eq!(closed, cut, "{what}");
        still_serves(&mut world, home);
    }
}

// OC-53
#[test]
fn a_reader_who_never_reads_is_cut_and_the_others_go_on() {
    for seed in seeds(3) {
        let (mut world, home) = house(seed);
        let alice = world.login(home, "alice", "alice", "key-of-alice");
        let bob = world.login(home, "bob", "bob", "key-of-bob");
        world.set_reading(bob, false);
        let body = "x".repeat(30_000);
        let mut ids = Vec::new();
        for _ in 0..60 {
            ids.push(world.request(alice, &message("bob@a.test", "alice@a.test", &body)));
        }
        // Each request is answered: an error when bob is cut or his time is up.
        for id in ids {
            let there = |o: &hearth::sim::reader::Object| o.get("response") == Some(&id);
            let reply = world.expect(alice, Duration::from_secs(120), there).expect("an answer");
            assert_eq!(reply.action(), "error");
        }
        world.run_for(Duration::from_secs(60));
        let status = world.status(home);
        assert_eq!((status.endpoints, status.requests_waiting), (1, 0), "{status:?}");
    }
}

// OC-53
#[test]
fn a_write_that_makes_no_progress_ends_the_connection() {
    for seed in seeds(3) {
        let (mut world, home) = house(seed);
        let alice = world.login(home, "alice", "alice", "key-of-alice");
        let bob = world.login(home, "bob", "bob", "key-of-bob");
        world.set_reading(bob, false);
        // More than the sockets' buffers hold, and less than the server keeps for a slow reader.
        let body = "x".repeat(50_000);
        for _ in 0..4 {
            world.request(alice, &message("bob@a.test", "alice@a.test", &body));
        }
        world.run_for(Duration::from_secs(20));
        assert_eq!(world.status(home).endpoints, 2);
        world.run_for(Duration::from_secs(40));
        let status = world.status(home);
        assert_eq!((status.endpoints, status.users_online), (1, 1), "{status:?}");
        let errors = world.peek(alice).inbox.iter().filter(|(_, o)| o.action() == "error").count();
        assert_eq!(errors, 4);
    }
}

// OC-30
#[test]
fn requests_in_flight_are_bounded_by_not_reading_on() {
    for seed in seeds(3) {
        let (mut world, home) = house(seed);
        let alice = world.login(home, "alice", "alice", "key-of-alice");
        let bob = world.login(home, "bob", "bob", "key-of-bob");
        let count = hearth::limits::REQUESTS_IN_FLIGHT + 40;
        for n in 0..count {
            world.request(alice, &message("bob@a.test", "alice@a.test", &n.to_string()));
        }
        world.run_for(Duration::from_secs(5));
        let waiting = world.peek(bob).inbox.iter().filter(|(_, o)| o.action() == "send").count();
        assert!(waiting <= hearth::limits::REQUESTS_IN_FLIGHT, "{waiting} at once");
        assert!(waiting > 0);
        // As answers go back, the rest is read: all are delivered in the end.
        let mut answered = 0;
        while answered < count {
            let send = world.expect(bob, PATIENCE, |o| o.action() == "send").expect("the next one");
            let id = send.get("request").unwrap().to_owned();
            let okay = [("action", "okay"), ("response", &id), ("message", "")];
            world.send(bob, &hearth::sim::reader::Object::new(&okay));
            answered += 1;
        }
        world.settle(PATIENCE);
        let okays = world.peek(alice).inbox.iter().filter(|(_, o)| o.action() == "okay").count();
        assert_eq!(okays, count);
    }
}

// OC-53
#[test]
fn white_space_keeps_a_silent_connection_alive() {
    let (mut world, home) = house(3);
    let alice = world.login(home, "alice", "alice", "key-of-alice");
    world.run_for(Duration::from_secs(1));
    let before = world.peek(alice).received;
    world.run_for(Duration::from_secs(150));
    let after = world.peek(alice).received;
    assert!((1..=4).contains(&(after - before)), "{} octets in 150 seconds of silence", after - before);
}

// OC-53
#[test]
fn a_stalled_endpoint_is_found_dead() {
    let (mut world, home) = house(3);
    let bob = world.login(home, "bob", "bob", "key-of-bob");
    let alice = world.login(home, "alice", "alice", "key-of-alice");
    let (route, there) = (world.place(home, ROUTING).ip(), client_address());
    let _ = bob;
    // Nothing reaches anybody any more, and nobody says so.
    world.partition(route, there);
    world.run_for(Duration::from_secs(20 * 60));
    world.heal();
    world.cut(route, there);
    world.run_for(Duration::from_secs(1));
    assert!(world.peek(alice).closed);
    assert_eq!(world.status(home).endpoints, 0);
    still_serves(&mut world, home);
}

// OC-68
#[test]
fn thousands_of_silent_connections_are_let_go() {
    let (mut world, home) = house(5);
    let flood: Vec<ClientId> =
        (0..3000).map(|n| raw(&mut world, home, if n % 2 == 0 { ROUTING } else { NOTIFICATION })).collect();
    world.run_for(Duration::from_secs(1));
    let limit = hearth::limits::Limits::default().unproven_per_address;
    let open = flood.iter().filter(|c| !world.peek(**c).closed).count();
    assert!(open <= limit, "{open} are open");
    world.run_for(Duration::from_secs(40));
    assert!(flood.iter().all(|c| world.peek(*c).closed), "all are closed for silence");
    assert_eq!(world.status(home).connections, 0);
    still_serves(&mut world, home);
}

// OC-28 SIMP-3.3-1
#[test]
fn garbage_of_every_kind_panics_nobody() {
    let pieces: [&[u8]; 14] = [
        b"<properties>",
        b"</properties>",
        b"<entry key=\"",
        b"\">",
        b"</entry>",
        b"</stream>",
        b"&amp;",
        b"&#x",
        b"action",
        b"send",
        b"<!--",
        b"-->",
        b"\xff",
        b"]]>",
    ];
    for seed in seeds(40) {
        let (mut world, home) = house(seed);
        let x = raw(&mut world, home, ROUTING);
        world.write_header(x);
        for _ in 0..60 {
            let piece = pieces[world.chance.below(pieces.len())];
            world.write(x, piece);
        }
        world.run_for(Duration::from_secs(15));
        still_serves(&mut world, home);
    }
}

// OC-15 OC-17
#[test]
fn unknown_users_and_wrong_keys_take_the_same_time() {
    for seed in seeds(10) {
        let mut spans = Vec::new();
        for user in ["alice", "nobody"] {
            let mut world = World::new(seed);
            world.weather.latency = (5, 5);
            world.weather.splitting = 0;
            let home = world.add_home(&["a.test"]);
            world.hosts[home.0].disk.read = (1, 1);
            world.add_user(home, "alice@a.test");
            let start = world.now;
            let x = world.begin_login(home, "x", user, "wrong");
            world.await_login(x);
            spans.push(world.now - start);
        }
        assert_eq!(spans[0], spans[1], "milliseconds");
    }
}

// design 9
#[test]
fn asking_about_thousands_who_do_not_exist_leaves_nothing_behind() {
    let (mut world, home) = house(4);
    let alice = world.login(home, "alice", "alice", "key-of-alice");
    world.settle(PATIENCE);
    let before = world.status(home).accounts_in_memory;
    for n in 0..3000 {
        let to = format!("nobody{n}@a.test");
        world.request(alice, &[("action", "fetch"), ("to", &*to), ("from", "alice@a.test")]);
    }
    world.run_for(Duration::from_secs(30));
    let errors = world.peek(alice).inbox.iter().filter(|(_, o)| o.action() == "error").count();
    assert_eq!(errors, 3000);
    let status = world.status(home);
    assert_eq!((status.accounts_in_memory, status.requests_waiting), (before, 0), "{status:?}");
}

// design 9
#[test]
fn what_waits_for_a_domain_that_is_not_found_is_bounded() {
    let mut world = World::new(2);
    let home = world.add_home(&["a.test"]);
    world.dns.slow("slow.test", 9000);
    let mut endpoints = Vec::new();
    for n in 0..3 {
        world.add_user(home, &format!("u{n}@a.test"));
        for _ in 0..hearth::limits::ENDPOINTS_WHOLE {
            endpoints.push((n, world.login(home, "u", &format!("u{n}"), &format!("key-of-u{n}"))));
        }
    }
    let mut asked = 0;
    for (n, endpoint) in &endpoints {
        let from = format!("u{n}@a.test");
        for _ in 0..hearth::limits::REQUESTS_IN_FLIGHT {
            world.request(*endpoint, &message("x@slow.test", &from, "hello"));
            asked += 1;
        }
    }
    let errors = |world: &World| -> usize {
        let of = |e: &ClientId| world.peek(*e).inbox.iter().filter(|(_, o)| o.action() == "error").count();
        endpoints.iter().map(|(_, e)| of(e)).sum()
    };
    // What is over the bound is refused at once, the rest when the search is over.
    world.run_for(Duration::from_secs(3));
    assert_eq!(errors(&world), asked - hearth::limits::QUEUED_PER_LINK);
    world.run_for(Duration::from_secs(40));
    assert_eq!(errors(&world), asked);
    assert_eq!(world.status(home).requests_waiting, 0);
}

// PITP-15.8-6 COMMON-12-13 TOC-34: thousands of mappings are asked for, as many as there may be are made
#[test]
fn mappings_are_bounded_and_the_last_still_counts() {
    let mut world = World::new(1);
    let home = world.add_home(&["a.test"]);
    world.add_user(home, "ana@a.test");
    let ana = world.enter(home, "ana/pr", "ana");
    let presentity = ("Presentity", "presence:ana@a.test");
    let mut made = 0;
    for number in 1..=2000_u32 {
        let number = number.to_string();
        let insert = [
            ("action", "insert-mapping"),
            presentity,
            ("Mapping", &*number),
            ("Wpattern", "presence:*@b.test"),
        ];
        let id = world.request(ana, &insert);
        let answer = world.reply(ana, &id).unwrap();
        match answer.get("Error-Type") {
            None => made += 1,
            error => {
                assert_eq!(error, Some("quota"), "{answer}");
                break;
            }
        }
    }
    assert_eq!(made, hearth::limits::MAPPINGS);
    let last = made.to_string();
    let id = world.request(ana, &[("action", "get-class"), presentity, ("Mapping", &*last)]);
    assert_eq!(world.reply(ana, &id).unwrap().get("Wpattern"), Some("presence:*@b.test"));
}

// COMMON-7-5 COMMON-12-13 TOC-34: commands without end from one who reads no answers: bounded, and nobody else waits
#[test]
fn a_client_who_asks_and_never_listens_costs_nobody_else() {
    let mut world = World::new(2);
    let home = world.add_home(&["a.test"]);
    world.add_user(home, "ana@a.test");
    world.add_user(home, "bea@a.test");
    let ana = world.enter(home, "ana/im", "ana");
    let bea = world.enter(home, "bea/im", "bea");
    world.listen(bea, "im:bea@a.test");
    world.answers(bea, Answer::Okay, Answer::Okay);
    world.set_reading(ana, false);
    for _ in 0..2000 {
        let body = "x".repeat(2000);
        let send = [
            ("action", "send"),
            ("Sender", "im:ana@a.test"),
            ("Inbox", "im:nobody@a.test"),
            ("body", &*body),
        ];
        world.request(ana, &send);
    }
    let send =
        [("action", "send"), ("Sender", "im:bea@a.test"), ("Inbox", "im:bea@a.test"), ("body", "to myself")];
    let id = world.request(bea, &send);
    assert_eq!(world.reply(bea, &id).unwrap().action(), "ok");
}

// IMTP-16.2-20 IMTP-16.2-3: three servers that each pass a message on to the next: it ends where it has been before
#[test]
fn a_loop_through_three_servers_ends() {
    for seed in seeds(3) {
        let mut world = World::new(seed);
        let home = world.add_home(&["a.test"]);
        world.add_user(home, "ana@a.test");
        let ana = world.enter(home, "ana/im", "ana");
        world.listen(ana, "im:ana@a.test");
        // Two servers of others, who give to ana what is for them, in a circle.
        let mut visited = String::new();
        for (turn, domain) in ["b.test", "c.test", "b.test"].into_iter().enumerate() {
            let at = std::net::IpAddr::from([127, 9, 9, turn as u8 + 1]);
            world.play_server(std::net::SocketAddr::new(at, hearth::federation::IMTP_PORT));
            hearth::sim::stage::publish(&mut world, domain, "imtp", at);
            let mut credentials = world.credentials(domain, "");
            credentials.mechanism = "EXTERNAL".to_owned();
            let entrance = hearth::sim::sasl::Entrance::new(credentials);
            let peer = world.connect(home, "peer/im", at, None, Some(entrance));
            world.await_login(peer);
            visited = format!("{visited} {domain}").trim().to_owned();
            let sender = format!("im:list@{domain}");
            let mut send = vec![("action", "send"), ("Sender", &*sender), ("Inbox", "im:ana@a.test")];
            send.extend([("Visited", &*visited), ("body", "round")]);
            let id = world.request(peer, &send);
            if visited.contains("a.test") {
                assert_eq!(world.reply(peer, &id).unwrap().get("Error-Type"), Some("loop"));
                continue;
            }
            let heard = world.expect(ana, Duration::from_secs(5), |o| o.action() == "send").unwrap();
            visited = heard.get("Visited").unwrap().to_owned();
            assert!(visited.ends_with(" a.test"), "{visited}");
        }
    }
}

/// Subscriptions that are being written down count for the limits like those that are.
// OC-41, COMMON-12-13
#[test]
fn subscriptions_that_come_at_once_count() {
    let mut text = String::from(
        "== subscriptions by the dozen\nhome a.test dns=imtp\nuser ana@a.test watchers=allow\n\
         server c.test at 127.0.9.1 by=imtp\nana/pr logs in\n\
         ana/pr> insert-mapping Presentity=presence:ana@a.test Mapping=1 Wpattern=* body=\"\"\nana/pr< ok\n\
         c/pr speaks for c.test at a.test\nc/pr raw \"",
    );
    for n in 0..=limits::SUBSCRIPTIONS_NAMED {
        let name = format!("K{n}/presence:carl@c.test");
        text += &format!(
            ">s{n} subscribe\\r\\nSubscription: {name}\\r\\nPresentity: presence:ana@a.test\\r\\n\\r\\n"
        );
    }
    text += "\"\n";
    for n in 0..limits::SUBSCRIPTIONS_NAMED {
        text += &format!("c/pr< ok response=s{n}\n");
    }
    text += &format!("c/pr< error response=s{} Error-Type=quota\n", limits::SUBSCRIPTIONS_NAMED);
    for script in parse(&text).unwrap() {
        for seed in seeds(3) {
            play(&script, seed).unwrap_or_else(|why| panic!("{why}"));
        }
    }
}

// OC-30
#[test]
fn what_one_user_has_under_way_to_the_silent_is_bounded_in_octets() {
    for seed in seeds(3) {
        let (mut world, home) = house(seed);
        let alice = world.login(home, "alice", "alice", "key-of-alice");
        // They read, and say nothing.
        let others: Vec<ClientId> = (0..8)
            .map(|n| {
                let name = format!("u{n}");
                world.add_user(home, &format!("{name}@a.test"));
                world.login(home, &name, &name, &format!("key-of-{name}"))
            })
            .collect();
        let body = "x".repeat(60_000);
        let count = limits::REQUESTS_IN_FLIGHT;
        for n in 0..count {
            world.request(alice, &message(&format!("u{}@a.test", n % 8), "alice@a.test", &body));
            world.run_for(Duration::from_millis(20));
        }
        world.run_for(Duration::from_secs(5));
        let has = |world: &World, who, what: &str| {
            world.peek(who).inbox.iter().filter(|(_, o)| o.action() == what).count()
        };
        let sent: usize = others.iter().map(|other| has(&world, *other, "send")).sum();
        assert!((8..=limits::HELD_PER_USER / body.len()).contains(&sent), "{sent} at once");
        assert!(sent < count);
        assert_eq!(sent + has(&world, alice, "error"), count);
        // Small ones still go through, and when the others have failed, so do large ones.
        world.answers(others[0], Answer::Okay, Answer::Okay);
        let id = world.request(alice, &message("u0@a.test", "alice@a.test", "hello"));
        assert_eq!(world.reply(alice, &id).expect("an answer").action(), "okay");
        let bob = world.login(home, "bob", "bob", "key-of-bob");
        world.answers(bob, Answer::Okay, Answer::Okay);
        world.run_for(limits::ANSWER);
        let id = world.request(alice, &message("bob@a.test", "alice@a.test", &body));
        assert_eq!(world.reply(alice, &id).expect("an answer").action(), "okay");
    }
}

// OC-53
#[test]
fn nobody_is_cut_by_what_another_writes_to_him_at_once() {
    for seed in seeds(3) {
        let (mut world, home) = house(seed);
        let alice = world.login(home, "alice", "alice", "key-of-alice");
        let bob = world.login(home, "bob", "bob", "key-of-bob");
        let body = "x".repeat(60_000);
        for _ in 0..limits::REQUESTS_IN_FLIGHT {
            world.request(alice, &message("bob@a.test", "alice@a.test", &body));
        }
        world.run_for(Duration::from_secs(5));
        assert!(!world.peek(bob).closed);
        world.answers(bob, Answer::Okay, Answer::Okay);
        let id = world.request(alice, &message("bob@a.test", "alice@a.test", "hello"));
        assert_eq!(world.reply(alice, &id).expect("an answer").action(), "okay");
    }
}

// OC-30
#[test]
fn what_strangers_leave_unfinished_is_bounded_all_together() {
    let (mut world, home) = house(5);
    let alice = raw(&mut world, home, ROUTING);
    world.write(alice, HEADER.as_bytes());
    world.write(alice, b"<properties><entry key=\"action\">");
    let half = format!("<properties><entry key=\"a\">{}", "x".repeat(60_000));
    let crowd: Vec<ClientId> = (0..limits::UNFINISHED / 60_000 + 2)
        .map(|_| {
            let other = world.new_client("y", world.place(home, ROUTING).ip());
            let place = world.place(home, ROUTING);
            world.open(other, place);
            world.write(other, HEADER.as_bytes());
            world.write(other, half.as_bytes());
            world.run_for(Duration::from_millis(5));
            other
        })
        .collect();
    world.run_for(Duration::from_secs(1));
    assert!(crowd.iter().any(|other| world.peek(*other).closed), "nobody had to go");
    assert!(!world.peek(alice).closed, "who holds little stays");
    still_serves(&mut world, home);
}

// OC-30
#[test]
fn changes_of_lists_that_wait_for_the_disk_are_bounded() {
    let (mut world, home) = house(11);
    let alice = world.login(home, "alice", "alice", "key-of-alice");
    let count = 40;
    for _ in 0..count {
        world.request(alice, &[("action", "set acl"), ("bob@a.test", "send")]);
    }
    world.run_for(Duration::from_secs(5));
    let has = |action: &str| world.peek(alice).inbox.iter().filter(|(_, o)| o.action() == action).count();
    assert_eq!(has("okay") + has("error"), count);
    assert!(has("okay") >= usize::from(limits::SETTINGS_AT_ONCE), "{}", has("okay"));
    assert!(has("error") > 0);
    // And when they are done with, the next is taken.
    let id = world.request(alice, &[("action", "set acl"), ("bob@a.test", "send")]);
    assert_eq!(world.reply(alice, &id).expect("an answer").action(), "okay");
}

// SIMP-1-4, design 5
#[test]
fn who_takes_no_reports_makes_no_more_of_them() {
    for seed in seeds(2) {
        let (mut world, home) = house(seed);
        const KEPT: usize = 200;
        let most = limits::REPORTS as usize + 2 * limits::REQUESTS_IN_FLIGHT;
        // Bob keeps silent and is put out, and alice never hears that her messages have failed.
        for _ in 0..2 * most / limits::REQUESTS_IN_FLIGHT {
            let bob = world.login(home, "bob", "bob", "key-of-bob");
            let alice = world.login(home, "alice", "alice", "key-of-alice");
            for _ in 0..limits::REQUESTS_IN_FLIGHT {
                world.request(alice, &message("bob@a.test", "alice@a.test", "hello"));
            }
            world.run_for(Duration::from_millis(100));
            world.close(alice, true);
            world.run_for(limits::ANSWER);
            world.close(bob, false);
        }
        let alice = world.login(home, "alice", "alice", "key-of-alice");
        let id = world.request(alice, &message("bob@a.test", "alice@a.test", "one more"));
        assert_eq!(world.reply(alice, &id).expect("an answer").action(), "error");
        // When she has taken them she may write again.
        world.close(alice, false);
        let alice = world.begin_login(home, "alice", "alice", "key-of-alice");
        world.answers(alice, Answer::Okay, Answer::Okay);
        world.run_for(Duration::from_secs(60));
        let reports = world.peek(alice).inbox.iter().filter(|(_, o)| o.action() == "send").count();
        assert!((limits::REPORTS as usize..=most + KEPT).contains(&reports), "{reports} reports");
        let bob = world.login(home, "bob", "bob", "key-of-bob");
        world.answers(bob, Answer::Okay, Answer::Okay);
        let id = world.request(alice, &message("bob@a.test", "alice@a.test", "again"));
        assert_eq!(world.reply(alice, &id).expect("an answer").action(), "okay");
    }
}

// PITP-15.11-2, design 7: names of domains cost nothing, so a second one gains an attacker nothing.
#[test]
fn other_domains_keep_nobody_else_from_watching() {
    let mut text = String::from(
        "== many watchers of two domains\nhome a.test dns=imtp\nuser ana@a.test watchers=allow\nuser bea@a.test\n\
         server c.test at 127.0.9.1 by=imtp\nserver d.test at 127.0.9.2 by=imtp\nserver e.test at 127.0.9.3 by=imtp\n\
         ana logs in\nana> set profile buddies=\"<properties><entry key='x'>eve@e.test</entry></properties>\"\n\
         ana< okay\nana leaves\nana/pr logs in\n\
         ana/pr> insert-mapping Presentity=presence:ana@a.test Mapping=1 Wpattern=* body=\"\"\nana/pr< ok\n\
         c/pr speaks for c.test at a.test from=127.0.9.1\nd/pr speaks for d.test at a.test from=127.0.9.2\n\
         e/pr speaks for e.test at a.test from=127.0.9.3\n",
    );
    let half = limits::SUBSCRIPTIONS_PER_ACCOUNT / 2;
    for (who, count) in [("c", half), ("d", limits::SUBSCRIPTIONS_OF_STRANGERS - half)] {
        for lot in (0..count).step_by(250) {
            text += &format!("{who}/pr raw \"");
            for n in lot..lot + 250 {
                text += &format!(
                    ">{who}{n} subscribe\\r\\nSubscription: K/presence:u{n}@{who}.test\\r\\n\
                     Presentity: presence:ana@a.test\\r\\n\\r\\n"
                );
            }
            text += "\"\nsettle\n";
            (lot..lot + 250).for_each(|n| text += &format!("{who}/pr< ok response={who}{n}\n"));
        }
        text += &format!(
            "{who}/pr> subscribe Subscription=K/presence:one@{who}.test Presentity=presence:ana@a.test\n\
             {who}/pr< error Error-Type=quota\n"
        );
    }
    text += "e/pr> subscribe Subscription=K/presence:adam@e.test Presentity=presence:ana@a.test\n\
             e/pr< error Error-Type=quota\n\
             e/pr> subscribe Subscription=K/presence:eve@e.test Presentity=presence:ana@a.test\ne/pr< ok\n\
             bea/pr logs in\n\
             bea/pr> subscribe Subscription=/presence:bea@a.test Presentity=presence:ana@a.test\nbea/pr< ok\n";
    for script in parse(&text).unwrap() {
        play(&script, 1).unwrap_or_else(|why| panic!("{why}"));
    }
}

// SIMP-5.3-5, design 7
#[test]
fn subscriptions_that_are_over_keep_nobody_from_watching() {
    let mut text = String::from(
        "== watchers for seconds of one who is not there\nhome a.test\nuser ana@a.test watchers=allow\n\
         server c.test at 127.0.9.1\nc connects to a.test as c.test\n",
    );
    let half = limits::SUBSCRIPTIONS_PER_ACCOUNT / 2;
    for again in ["1", "2"] {
        for lot in (0..half).step_by(250) {
            text += "c raw \"";
            for n in lot..lot + 250 {
                let entries = [
                    ("action", "subscribe".to_owned()),
                    ("request", format!("{again}.{n}")),
                    ("to", "ana@a.test".to_owned()),
                    ("from", format!("u{again}.{n}@c.test")),
                    ("duration", "60000".to_owned()),
                ];
                text += "<properties>";
                for (key, value) in entries {
                    text += &format!("<entry key='{key}'>{value}</entry>");
                }
                text += "</properties>";
            }
            text += "\"\nsettle\n";
            (lot..lot + 250).for_each(|n| text += &format!("c< describe response={again}.{n}\n"));
        }
        text += "c> subscribe to=ana@a.test from=one@c.test duration=60000\nc< error\nwait 61s\n";
    }
    for script in parse(&text).unwrap() {
        play(&script, 1).unwrap_or_else(|why| panic!("{why}"));
    }
}

// TOC-30, design 9: what a sender writes into the type of a message takes room, too
#[test]
fn messages_that_are_all_type_fill_no_box_beyond_its_bound() {
    let kind = format!("a/b;c={}", "x".repeat(3000));
    let mut text = String::from(
        "== long types\nhome a.test kept_octets=8192\nuser ana@a.test\nuser bea@a.test keeps=yes\nana/im logs in\n",
    );
    for answer in ["ok", "ok", "error Error-Type=quota"] {
        text += &format!(
            "ana/im> send Sender=im:ana@a.test Inbox=im:bea@a.test Content-Type={kind} body=x\nana/im< {answer}\n"
        );
    }
    for script in parse(&text).unwrap() {
        play(&script, 1).unwrap_or_else(|why| panic!("{why}"));
    }
}

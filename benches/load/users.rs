//! Users: idle ones, those who log in, those who watch, and a million who are away.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use mio::{Events, Poll};

use crate::Bench;
use crate::rig::Failure;
use crate::rig::engine::Conn;
use crate::rig::house::{self, House, SECRET, Service};
use crate::rig::pairs::{Door, Yardstick};
use crate::rig::report::{Report, median, micros_each};
use crate::rig::simp::{self, Routing};
use crate::rig::transfer::{self, Session};

/// Changes of presence in one round.
const CHANGES: u64 = 50;
/// Threads that log in at the same time.
const AT_ONCE: usize = 32;

fn user(index: usize) -> String {
    format!("user{index}")
}

/// The memory of an idle connection: growth of the server's resident memory over many.
///
/// # Errors
/// Whatever keeps it from being measured.
pub fn idle(bench: &Bench, report: &mut Report, service: Service, tls: bool) -> Result<(), Failure> {
    let domain = format!("{}.{}.test", service.name(), if tls { "secured" } else { "idle" });
    let house = bench.house_with(&domain, [127, 0, 0, 1], tls)?;
    house.populate((0..bench.idle).map(user), true)?;
    let server = house.serve(None)?;
    let mut door = Door::open((&house, service))?;
    let mut held: Vec<TcpStream> = Vec::with_capacity(bench.idle);
    // What is made once, at the first login, is not counted.
    let warm = 10.min(bench.idle);
    let mut before = 0;
    for index in 0..bench.idle {
        if index == warm {
            before = settled(&server)?;
        }
        held.push(door.log_in(&house.user(&user(index)), true)?.0);
    }
    let growth = settled(&server)?.saturating_sub(before);
    let each = growth as f64 / 1024.0 / (held.len() - warm) as f64;
    let (kind, limit) = if tls { ("TLS", 16.0) } else { ("plain TCP", 1.5) };
    let what = if service == Service::Simp { "logged-in" } else { "listening IMTP" };
    report.against(
        &format!("idle {what} connection, {kind} (over {} of them)", held.len()),
        format!("{each:.2} KiB"),
        &format!("{limit} KiB"),
        each <= limit,
    );
    Ok(())
}

/// Resident memory once it no longer changes.
fn settled(server: &crate::rig::proc::Process) -> Result<u64, Failure> {
    let mut last = server.resident()?;
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let now = server.resident()?;
        if now.abs_diff(last) < 16 * 1024 {
            return Ok(now);
        }
        last = now;
    }
}

/// The CPU time of a digest login: `login` on a new routing connection, `connect` on a new notification
/// connection, both closed again.
///
/// # Errors
/// Whatever keeps it from being measured.
pub fn logins(bench: &Bench, report: &mut Report) -> Result<(), Failure> {
    let house = bench.house("login.test", [127, 0, 0, 1])?;
    let accounts = 1000;
    house.populate((0..accounts).map(user), true)?;
    let server = house.serve(None)?;
    let count = (bench.operations / 20).max(1);
    let mut yardstick = Yardstick::start(bench.pairs, bench.operations / 4)?;
    let (mut fresh, mut kept) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        yardstick.take()?;
        for (reuse, costs) in [(false, &mut fresh), (true, &mut kept)] {
            let before = server.cpu()?;
            at_once(count, accounts, |users| log_in_and_out(&house, users, reuse))?;
            costs.push(micros_each(server.cpu()? - before, count));
        }
    }
    let (fresh, kept, b) = (median(&fresh), median(&kept), yardstick.b());
    report.against(
        "digest login and logout, both connections new",
        format!("{fresh:.1} µs = {:.1} B", fresh / b),
        "8 B",
        fresh <= 8.0 * b,
    );
    report
        .figure("the same over a routing connection that stays", format!("{kept:.1} µs = {:.1} B", kept / b));
    Ok(())
}

/// The CPU time of a login by SCRAM: a new IMTP connection, the exchange, and its end.
///
/// # Errors
/// Whatever keeps it from being measured.
pub fn scram_logins(bench: &Bench, report: &mut Report) -> Result<(), Failure> {
    let house = bench.house("scram.test", [127, 0, 0, 1])?;
    let accounts = 1000;
    house.populate((0..accounts).map(user), false)?;
    let server = house.serve(None)?;
    let (target, keys) = (house.target(Service::Imtp), house::keys()?);
    let count = (bench.operations / 20).max(1);
    let mut yardstick = Yardstick::start(bench.pairs, bench.operations / 4)?;
    let mut costs = Vec::new();
    for _ in 0..bench.rounds {
        yardstick.take()?;
        let before = server.cpu()?;
        at_once(count, accounts, |users| {
            for index in users {
                Session::login(&target, &house.user(&user(index)), &keys)?;
            }
            Ok(())
        })?;
        costs.push(micros_each(server.cpu()? - before, count));
    }
    let (cost, b) = (median(&costs), yardstick.b());
    report.against(
        "SCRAM login and logout, the connection new",
        format!("{cost:.1} µs = {:.1} B", cost / b),
        "10 B",
        cost <= 10.0 * b,
    );
    Ok(())
}

/// Has `count` logins made by several threads at a time; each has users of its own, so that nobody is there twice.
fn at_once(
    count: u64,
    accounts: usize,
    log_in: impl Fn(&mut dyn Iterator<Item = usize>) -> Result<(), Failure> + Sync,
) -> Result<(), Failure> {
    let log_in = &log_in;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE)
            .map(|thread| {
                scope.spawn(move || {
                    let turns = (thread as u64..count).step_by(AT_ONCE);
                    let round = |turn| turn as usize / AT_ONCE % (accounts / AT_ONCE);
                    log_in(&mut turns.map(|turn| thread + AT_ONCE * round(turn)))
                })
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(Failure("a thread panicked".into()))))
    })
}

fn log_in_and_out(house: &House, users: &mut dyn Iterator<Item = usize>, reuse: bool) -> Result<(), Failure> {
    let mut kept = None;
    for index in users {
        let mut routing = match kept.take() {
            Some(routing) => routing,
            None => Routing::open(&house.target(Service::Simp))?,
        };
        routing.login(&house.user(&user(index)), SECRET)?;
        kept = reuse.then_some(routing);
    }
    Ok(())
}

/// The CPU time of each notification when one user of many watchers changes his presence.
///
/// # Errors
/// Whatever keeps it from being measured.
pub fn fan_out(bench: &Bench, report: &mut Report, service: Service) -> Result<(), Failure> {
    let house = bench.house(&format!("{}.star.test", service.name()), [127, 0, 0, 1])?;
    house.populate((0..bench.watchers).map(user).chain(["star".into()]), true)?;
    let server = house.serve(None)?;
    let star = house.user("star");
    let mut door = Door::open((&house, service))?;
    let mut crowd = Crowd::new(door.enter(&star, false)?, Script::of(service, &star))?;
    crowd.begin()?;
    for index in 0..bench.watchers {
        let watcher = house.user(&user(index));
        let mut conn = door.enter(&watcher, false)?;
        conn.out = crowd.script.subscribe(&watcher).into_bytes();
        crowd.add(conn)?;
    }
    crowd.subscribed()?;
    let mut yardstick = Yardstick::start(bench.pairs, bench.operations / 4)?;
    let mut costs = Vec::new();
    for round in 0..=bench.rounds {
        yardstick.take()?;
        let before = server.cpu()?;
        for change in 0..CHANGES {
            crowd.change(round as u64 * CHANGES + change)?;
        }
        costs.push(micros_each(server.cpu()? - before, CHANGES * bench.watchers as u64));
    }
    // The first round warms up.
    let (cost, b) = (median(&costs[1..]), yardstick.b());
    let what = match service {
        Service::Simp => "notifications of a presence change",
        Service::Imtp | Service::Pitp => "PITP change-notifies",
    };
    report.against(
        &format!("one of {} {what}, with its answer", bench.watchers),
        format!("{cost:.2} µs = {:.2} B", cost / b),
        "0.6 B",
        cost <= 0.6 * b,
    );
    Ok(())
}

/// What the star and those who watch him say.
struct Script {
    service: Service,
    star: String,
    simp: simp::Answerer,
    transfer: transfer::Answerer,
}

impl Script {
    fn of(service: Service, star: &str) -> Script {
        let (simp, transfer) = (simp::Answerer::new(), transfer::Answerer::new());
        Script { service, star: star.to_owned(), simp, transfer }
    }

    /// Octets used, and requests answered.
    fn answer(&self, input: &[u8], out: &mut Vec<u8>) -> (usize, u64) {
        match self.service {
            Service::Simp => self.simp.answer(input, out),
            Service::Imtp | Service::Pitp => self.transfer.answer(input, out),
        }
    }

    fn subscribe(&self, watcher: &str) -> String {
        let star = &self.star;
        match self.service {
            Service::Simp => format!(
                "<properties><entry key=\"action\">subscribe</entry><entry key=\"request\">2</entry>\
                 <entry key=\"to\">{star}</entry><entry key=\"from\">{watcher}</entry>\
                 <entry key=\"duration\">-1</entry></properties>\n"
            ),
            Service::Imtp | Service::Pitp => format!(
                ">3 subscribe\r\nSubscription: /presence:{watcher}\r\nPresentity: presence:{star}\r\n\r\n"
            ),
        }
    }

    /// In the reply to that.
    fn subscribed(&self) -> &'static [u8] {
        match self.service {
            Service::Simp => b">describe<",
            Service::Imtp | Service::Pitp => b" ok (subscribe)",
        }
    }

    /// What has to be said before anybody watches, and what is in the reply to it: who is to see what.
    fn begin(&self) -> Option<(String, &'static [u8])> {
        let insert = self.show(3, "insert-mapping", "Wpattern: *\r\n", "here");
        (self.service != Service::Simp).then_some((insert, b" ok (insert-mapping)"))
    }

    /// The star's next change, and what is in the reply to it.
    fn change(&self, number: u64) -> (String, &'static [u8]) {
        let (id, text) = (number + 4, format!("change {number}"));
        match self.service {
            Service::Simp => {
                let set = format!(
                    "<properties><entry key=\"action\">set profile</entry><entry key=\"request\">{id}</entry>\
                     <entry key=\"message\">{text}</entry></properties>\n"
                );
                (set, b">okay<")
            }
            Service::Imtp | Service::Pitp => (self.show(id, "change", "", &text), b" ok (change)"),
        }
    }

    /// An edit of the first mapping, which shows that he is there and this text.
    fn show(&self, id: u64, method: &str, more: &str, text: &str) -> String {
        let star = &self.star;
        let document = format!(
            "presentity = presence:{star}\r\ncontact = im:{star} {{\r\n  status = open\r\n}}\r\n\
             namespace:hearth = urn:hearth:presence\r\nhearth:message = \"{text}\"\r\n"
        );
        let length = document.len();
        format!(
            ">{id} {method}\r\nPresentity: presence:{star}\r\nMapping: 1\r\n{more}\
             Content-Length: {length}\r\n\r\n{document}"
        )
    }
}

/// One who is watched (the first connection) and all who watch him.
struct Crowd {
    poll: Poll,
    events: Events,
    conns: Vec<Conn>,
    script: Script,
    buffer: Vec<u8>,
}

impl Crowd {
    fn new(star: Conn, script: Script) -> Result<Crowd, Failure> {
        let (poll, events) = (Poll::new()?, Events::with_capacity(1024));
        let mut crowd = Crowd { poll, events, conns: Vec::new(), script, buffer: vec![0; 64 * 1024] };
        crowd.add(star)?;
        Ok(crowd)
    }

    fn add(&mut self, mut conn: Conn) -> Result<(), Failure> {
        conn.register(&self.poll, self.conns.len())?;
        conn.flush()?;
        self.conns.push(conn);
        Ok(())
    }

    /// Reads, counts and answers until so many requests have come to the watchers, and so many replies
    /// of one kind to the others.
    fn until(&mut self, requests: u64, reply: &[u8], replies: u64) -> Result<(), Failure> {
        let finder = memchr::memmem::Finder::new(reply);
        let deadline = Instant::now() + Duration::from_secs(60);
        let (mut asked, mut replied) = (0, 0);
        while asked < requests || replied < replies {
            if Instant::now() > deadline {
                return Err(Failure(format!(
                    "{asked} of {requests} notifications, {replied} of {replies} replies"
                )));
            }
            self.poll.poll(&mut self.events, Some(Duration::from_secs(1)))?;
            for event in &self.events {
                let conn = &mut self.conns[event.token().0];
                let script = &self.script;
                conn.read(&mut self.buffer, |input, out| {
                    let (used, count) = script.answer(input, out);
                    asked += count;
                    replied += finder.find_iter(&input[..used]).count() as u64;
                    used
                })?;
                conn.flush()?;
            }
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), Failure> {
        let Some((text, reply)) = self.script.begin() else { return Ok(()) };
        self.say(&text)?;
        self.until(0, reply, 1)
    }

    fn subscribed(&mut self) -> Result<(), Failure> {
        self.until(0, self.script.subscribed(), self.conns.len() as u64 - 1)
    }

    /// The star changes his description, and everybody is told.
    fn change(&mut self, number: u64) -> Result<(), Failure> {
        let (text, reply) = self.script.change(number);
        self.say(&text)?;
        self.until(self.conns.len() as u64 - 1, reply, 1)
    }

    /// The star says something.
    fn say(&mut self, text: &str) -> Result<(), Failure> {
        self.conns[0].out.extend_from_slice(text.as_bytes());
        self.conns[0].flush()
    }
}

/// The time from the start of a server with many accounts to its first answered login.
///
/// # Errors
/// Whatever keeps it from being measured.
pub fn start(bench: &Bench, report: &mut Report) -> Result<(), Failure> {
    let house = bench.house("many.test", [127, 0, 0, 1])?;
    crate::rig::proc::note(&format!("writing {} accounts", bench.accounts));
    house.populate((0..bench.accounts).map(user), false)?;
    let mut times = Vec::new();
    for _ in 0..bench.rounds {
        let begun = Instant::now();
        let server = house.serve(None)?;
        Routing::open(&house.target(Service::Simp))?.challenge(&house.user(&user(0)))?;
        times.push(begun.elapsed().as_secs_f64());
        server.stop(Duration::from_secs(10));
    }
    let time = median(&times);
    report.against(
        &format!("start with {} accounts, to the first challenge", bench.accounts),
        format!("{:.0} ms", time * 1000.0),
        "1 s",
        time < 1.0,
    );
    Ok(())
}

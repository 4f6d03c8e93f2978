//! Users: idle ones, those who log in, those who watch, and a million who are away.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use mio::{Events, Poll};

use crate::engine::Conn;
use crate::house::SECRET;
use crate::messages::Yardstick;
use crate::report::{Report, median, micros_each};
use crate::simp::{Answerer, Routing};
use crate::{Bench, Failure};

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
pub fn idle(bench: &Bench, report: &mut Report, tls: bool) -> Result<(), Failure> {
    let domain = if tls { "secured.test" } else { "idle.test" };
    let house = bench.house_with(domain, [127, 0, 0, 1], tls)?;
    house.populate((0..bench.idle).map(user), true)?;
    let server = house.serve(None)?;
    let mut routing = Routing::open(&house.target())?;
    let mut held: Vec<TcpStream> = Vec::with_capacity(bench.idle);
    // What is made once, at the first login, is not counted.
    let warm = 10.min(bench.idle);
    let mut before = 0;
    for index in 0..bench.idle {
        if index == warm {
            before = settled(&server)?;
        }
        held.push(routing.login(&house.user(&user(index)), SECRET)?.0);
    }
    let growth = settled(&server)?.saturating_sub(before);
    let each = growth as f64 / 1024.0 / (held.len() - warm) as f64;
    let (kind, limit) = if tls { ("TLS", 16.0) } else { ("plain TCP", 1.5) };
    report.against(
        &format!("idle logged-in connection, {kind} (over {} of them)", held.len()),
        format!("{each:.2} KiB"),
        &format!("{limit} KiB"),
        each <= limit,
    );
    Ok(())
}

/// Resident memory once it no longer changes.
fn settled(server: &crate::proc::Process) -> Result<u64, Failure> {
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
    let mut yardstick = Yardstick::start(bench)?;
    let (mut fresh, mut kept) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        yardstick.take()?;
        for (reuse, costs) in [(false, &mut fresh), (true, &mut kept)] {
            let before = server.cpu()?;
            log_in_all(&house, count, accounts, reuse)?;
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

fn log_in_all(house: &crate::house::House, count: u64, accounts: usize, reuse: bool) -> Result<(), Failure> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE)
            .map(|thread| {
                scope.spawn(move || -> Result<(), Failure> {
                    let mut kept = None;
                    for turn in (thread as u64..count).step_by(AT_ONCE) {
                        let mut routing = match kept.take() {
                            Some(routing) => routing,
                            None => Routing::open(&house.target())?,
                        };
                        // Each thread has users of its own, so that nobody is there twice.
                        let index = thread + AT_ONCE * (turn as usize / AT_ONCE % (accounts / AT_ONCE));
                        routing.login(&house.user(&user(index)), SECRET)?;
                        kept = reuse.then_some(routing);
                    }
                    Ok(())
                })
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(Failure("a thread panicked".into()))))
    })
}

/// The CPU time of each notification when one user of many watchers changes his presence.
///
/// # Errors
/// Whatever keeps it from being measured.
pub fn fan_out(bench: &Bench, report: &mut Report) -> Result<(), Failure> {
    let house = bench.house("star.test", [127, 0, 0, 1])?;
    house.populate((0..bench.watchers).map(user).chain(["star".into()]), true)?;
    let server = house.serve(None)?;
    let mut routing = Routing::open(&house.target())?;
    let star = house.user("star");
    let (stream, tail) = routing.login(&star, SECRET)?;
    let mut crowd = Crowd::new(Conn::new(stream, tail)?)?;
    for index in 0..bench.watchers {
        let watcher = house.user(&user(index));
        let (stream, tail) = routing.login(&watcher, SECRET)?;
        let mut conn = Conn::new(stream, tail)?;
        conn.out = format!(
            "<properties><entry key=\"action\">subscribe</entry><entry key=\"request\">2</entry>\
             <entry key=\"to\">{star}</entry><entry key=\"from\">{watcher}</entry>\
             <entry key=\"duration\">-1</entry></properties>\n"
        )
        .into_bytes();
        crowd.add(conn)?;
    }
    crowd.subscribed()?;
    let mut yardstick = Yardstick::start(bench)?;
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
    report.against(
        &format!("one of {} notifications of a presence change, with its answer", bench.watchers),
        format!("{cost:.2} µs = {:.2} B", cost / b),
        "0.6 B",
        cost <= 0.6 * b,
    );
    Ok(())
}

/// One who is watched (the first connection) and all who watch him.
struct Crowd {
    poll: Poll,
    events: Events,
    conns: Vec<Conn>,
    answerer: Answerer,
    buffer: Vec<u8>,
}

impl Crowd {
    fn new(star: Conn) -> Result<Crowd, Failure> {
        let poll = Poll::new()?;
        let (events, answerer, buffer) = (Events::with_capacity(1024), Answerer::new(), vec![0; 64 * 1024]);
        let mut crowd = Crowd { poll, events, conns: Vec::new(), answerer, buffer };
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
                let answerer = &self.answerer;
                conn.read(&mut self.buffer, |input, out| {
                    let (used, count) = answerer.answer(input, out);
                    asked += count;
                    replied += finder.find_iter(&input[..used]).count() as u64;
                    used
                })?;
                conn.flush()?;
            }
        }
        Ok(())
    }

    fn subscribed(&mut self) -> Result<(), Failure> {
        self.until(0, b">describe<", self.conns.len() as u64 - 1)
    }

    /// The star changes his description, and everybody is told.
    fn change(&mut self, number: u64) -> Result<(), Failure> {
        let text = format!(
            "<properties><entry key=\"action\">set profile</entry><entry key=\"request\">{}</entry>\
             <entry key=\"message\">change {number}</entry></properties>\n",
            number + 2
        );
        self.conns[0].out.extend_from_slice(text.as_bytes());
        self.conns[0].flush()?;
        self.until(self.conns.len() as u64 - 1, b">okay<", 1)
    }
}

/// The time from the start of a server with many accounts to its first answered login.
///
/// # Errors
/// Whatever keeps it from being measured.
pub fn start(bench: &Bench, report: &mut Report) -> Result<(), Failure> {
    let house = bench.house("many.test", [127, 0, 0, 1])?;
    crate::proc::note(&format!("writing {} accounts", bench.accounts));
    house.populate((0..bench.accounts).map(user), false)?;
    let mut times = Vec::new();
    for _ in 0..bench.rounds {
        let begun = Instant::now();
        let server = house.serve(None)?;
        Routing::open(&house.target())?.challenge(&house.user(&user(0)))?;
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

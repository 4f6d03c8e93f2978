//! Attacks of users: people with an account here who mean harm, or whose program has gone wild.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use memchr::memmem::find_iter;

use super::Orders;
use crate::rig::house::{self, SECRET};
use crate::rig::pipe::Target;
use crate::rig::simp::Routing;
use crate::rig::transfer::Session;
use crate::rig::{Failure, simp};

/// A user's notification connection, and his address.
pub struct User {
    stream: TcpStream,
    /// His address.
    pub address: String,
    tail: Vec<u8>,
    answerer: simp::Answerer,
}

const END: &[u8] = b"</properties>";

/// One entry of a command.
pub fn entry(key: &str, value: &str) -> String {
    format!("<entry key=\"{key}\">{value}</entry>")
}

/// A command.
pub fn command(action: &str, entries: &str) -> String {
    format!("<properties>{}{}{entries}</properties>\n", entry("action", action), entry("request", "1"))
}

impl User {
    /// Logs in as one of the attackers' own accounts.
    ///
    /// # Errors
    /// If that is refused.
    pub fn enter(orders: &Orders, index: usize) -> Result<User, Failure> {
        let address = format!("mallory{index}@{}", orders.domain);
        let mut routing = Routing::open(&Target { address: orders.simp, tls: None, from: None })?;
        let (stream, tail) = routing.login(&address, SECRET)?;
        stream.set_read_timeout(Some(Duration::from_millis(5)))?;
        stream.set_write_timeout(Some(Duration::from_millis(500)))?;
        Ok(User { stream, address, tail, answerer: simp::Answerer::new() })
    }

    /// Says what `next` gives, so many at a time under way, until then; how many were answered. He answers what
    /// he is asked, too. It may end early: when the server ends the connection.
    pub fn press(&mut self, window: usize, end: Instant, mut next: impl FnMut(u64) -> String) -> Pressed {
        let (mut said, mut answered, mut refused) = (0_u64, 0_u64, 0_u64);
        let mut buffer = vec![0; 64 * 1024];
        let (mut out, mut lost) = (Vec::new(), false);
        while Instant::now() < end && !lost {
            while said - answered < window as u64 && out.len() < 256 * 1024 {
                out.extend_from_slice(next(said).as_bytes());
                said += 1;
            }
            match self.stream.write(&out) {
                Ok(count) => drop(out.drain(..count)),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => lost = true,
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => lost = true,
                Ok(count) => self.tail.extend_from_slice(&buffer[..count]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => lost = true,
            }
            let Some(last) = find_iter(&self.tail, END).last() else { continue };
            let whole = &self.tail[..last + END.len()];
            answered += find_iter(whole, b"\"response\">").count() as u64;
            refused += find_iter(whole, b">error<").count() as u64;
            self.answerer.answer(whole, &mut out);
            self.tail.drain(..last + END.len());
        }
        Pressed { answered, refused, lost }
    }

    /// Nothing is read from him any more.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }
}

/// What came of it.
#[derive(Debug, Default, Clone, Copy)]
pub struct Pressed {
    /// Requests that were answered.
    pub answered: u64,
    /// Of those, refused.
    pub refused: u64,
    /// The server has ended the connection.
    pub lost: bool,
}

/// Lets so many users press at once, each until the end; those who are thrown out come back.
pub fn press_all(
    orders: &Orders,
    users: std::ops::Range<usize>,
    window: usize,
    next: impl Fn(&str, usize, u64) -> String + Sync,
) -> Pressed {
    let end = orders.end();
    let (answered, refused, lost) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for index in users {
            let (next, answered, refused, lost) = (&next, &answered, &refused, &lost);
            scope.spawn(move || {
                while Instant::now() < end {
                    let Ok(mut user) = User::enter(orders, index) else {
                        thread::sleep(Duration::from_millis(50));
                        continue;
                    };
                    let address = user.address.clone();
                    let pressed = user.press(window, end, |number| next(&address, index, number));
                    answered.fetch_add(pressed.answered, Ordering::Relaxed);
                    refused.fetch_add(pressed.refused, Ordering::Relaxed);
                    lost.fetch_add(u64::from(pressed.lost), Ordering::Relaxed);
                }
            });
        }
    });
    Pressed { answered: answered.into_inner(), refused: refused.into_inner(), lost: lost.into_inner() > 0 }
}

impl Pressed {
    /// In words.
    pub fn told(&self) -> String {
        let lost = if self.lost { ", some thrown out" } else { "" };
        format!("{} requests answered, {} of them refused{lost}", self.answered, self.refused)
    }
}

/// A message.
pub fn message(from: &str, to: &str, octets: usize) -> String {
    let body = entry("body", &"x".repeat(octets));
    let parties = entry("to", to) + &entry("from", from) + &entry("type", "text/plain");
    command("send", &(parties + &body))
}

/// A hundred users write 60 KiB at a time to one who never reads, by IMTP; when he is cut he comes back.
pub fn deaf_reader(orders: &Orders) -> Result<String, Failure> {
    let end = orders.end();
    let cut = AtomicU64::new(0);
    let to = format!("mallory0@{}", orders.domain);
    let pressed = thread::scope(|scope| {
        scope.spawn(|| {
            let keys = house::keys()?;
            while Instant::now() < end {
                let target = Target { address: orders.imtp, tls: None, from: None };
                let mut session = Session::login(&target, &to, &keys)?;
                session.listen(&to)?;
                let (stream, _) = session.into_parts();
                while Instant::now() < end && is_open(&stream) {
                    thread::sleep(Duration::from_millis(20));
                }
                cut.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<(), Failure>(())
        });
        press_all(orders, 1..101, 4, |from, _, _| message(from, &to, 60_000))
    });
    Ok(format!("the deaf one was cut {} times; {}", cut.into_inner().saturating_sub(1), pressed.told()))
}

/// Has the other end not gone? Without taking anything off.
fn is_open(stream: &TcpStream) -> bool {
    let info = socket2::SockRef::from(stream);
    info.take_error().ok().flatten().is_none() && stream.set_nonblocking(true).is_ok() && {
        // A connection that was cut has nothing more to be written to.
        !matches!((&mut &*stream).write(b"\r\n"), Err(e) if e.kind() != ErrorKind::WouldBlock)
    }
}

/// Watchers of one user who changes his presence as fast as he may, 60 KiB at a time.
fn watched(orders: &Orders, watchers: usize, deaf: bool) -> Result<String, Failure> {
    let end = orders.end();
    let star = format!("mallory0@{}", orders.domain);
    let subscribe = |from: &str| {
        let parties = entry("to", &star) + &entry("from", from);
        command("subscribe", &(parties + &entry("duration", "3600000")))
    };
    let mut owner = User::enter(orders, 0)?;
    thread::scope(|scope| {
        // A few threads for all watchers: each looks after some in turn.
        let groups = 16;
        for group in 0..groups {
            let subscribe = &subscribe;
            scope.spawn(move || {
                let mut users: Vec<User> = (1..=watchers)
                    .filter(|index| index % groups == group)
                    .filter_map(|index| User::enter(orders, index).ok())
                    .collect();
                for user in &mut users {
                    let text = subscribe(&user.address);
                    let _ = user.stream.write_all(text.as_bytes());
                    let _ = user.stream.set_nonblocking(true);
                }
                while Instant::now() < end {
                    for user in users.iter_mut().filter(|_| !deaf) {
                        user.press(0, Instant::now() + Duration::from_micros(1), |_| String::new());
                    }
                    thread::sleep(Duration::from_millis(5));
                }
            });
        }
        let text = "y".repeat(60_000);
        let change = |n: u64| {
            let profile = entry("message", &format!("{n}{text}"));
            command("set profile", &profile)
        };
        let pressed = owner.press(4, end, change);
        Ok(format!("{watchers} watchers, {}", pressed.told()))
    })
}

/// Fifty watchers who never read.
pub fn deaf_watchers(orders: &Orders) -> Result<String, Failure> {
    watched(orders, 50, true)
}

/// A thousand who do.
pub fn star(orders: &Orders) -> Result<String, Failure> {
    watched(orders, 1000, false)
}

/// Ten users who each subscribe to everybody, here and elsewhere, over and over.
pub fn subscribe_many(orders: &Orders) -> Result<String, Failure> {
    let pressed = press_all(orders, 0..10, 64, |from, _, number| {
        let number = number as usize;
        let to = match number % 4 {
            0 => format!("x{number}@evil.test"),
            _ => format!("mallory{}@{}", number % 1000, orders.domain),
        };
        let parties = entry("to", &to) + &entry("from", from);
        command("subscribe", &(parties + &entry("duration", "3600000")))
    });
    Ok(pressed.told())
}

/// Ten users who set lists of a thousand entries, over and over.
pub fn lists(orders: &Orders) -> Result<String, Failure> {
    let entries: String = (0..1000).map(|n| entry(&format!("user{n}@d{n}.test"), "send fetch")).collect();
    let pressed = press_all(orders, 0..10, 16, |_, _, number| {
        command(if number % 4 == 3 { "get acl" } else { "set acl" }, &entries)
    });
    Ok(pressed.told())
}

/// Two users with eight connections each say as much as they can: messages to each other.
pub fn talkers(orders: &Orders) -> Result<String, Failure> {
    let end = orders.end();
    let total = AtomicU64::new(0);
    thread::scope(|scope| {
        for number in 0..16 {
            let total = &total;
            scope.spawn(move || {
                let mut user = User::enter(orders, number / 8)?;
                let (from, to) = (user.address.clone(), format!("nobody{number}@{}", orders.domain));
                let pressed = user.press(1000, end, |_| message(&from, &to, 10));
                total.fetch_add(pressed.answered, Ordering::Relaxed);
                Ok::<(), Failure>(())
            });
        }
    });
    Ok(format!("{:.0} requests answered a second", total.into_inner() as f64 / orders.seconds))
}

/// Twenty users write 60 KiB at a time to a domain whose server never takes them in, without waiting.
pub fn in_flight(orders: &Orders) -> Result<String, Failure> {
    let evil = super::peers::listen(orders, super::peers::Manner::Silent)?;
    let pressed = press_all(orders, 0..20, 64, |from, index, number| {
        message(from, &format!("x{index}-{number}@wicked.test"), 60_000)
    });
    drop(evil);
    Ok(pressed.told())
}

/// All clients come at once, as after a restart: how long until they are in.
pub fn storm(orders: &Orders) -> Result<String, Failure> {
    let began = Instant::now();
    let (threads, users) = (100, 1000);
    let failed = AtomicU64::new(0);
    let kept = thread::scope(|scope| {
        let all: Vec<_> = (0..threads)
            .map(|number| {
                let failed = &failed;
                scope.spawn(move || {
                    let mut kept = Vec::new();
                    for index in (number..users).step_by(threads) {
                        match User::enter(orders, index) {
                            Ok(user) => kept.push(user.into_stream()),
                            Err(_) => drop(failed.fetch_add(1, Ordering::Relaxed)),
                        }
                    }
                    kept
                })
            })
            .collect();
        all.into_iter().filter_map(|thread| thread.join().ok()).flatten().collect::<Vec<_>>()
    });
    let told = format!(
        "{} users in within {:.1} s, {} refused",
        kept.len(),
        began.elapsed().as_secs_f64(),
        failed.into_inner()
    );
    thread::sleep(Duration::from_secs(1));
    Ok(told)
}

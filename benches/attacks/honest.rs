//! Those who are there before, during and after an attack: pairs who keep talking at a steady rate, users who
//! come anew, and somebody who watches the server's process.

use std::collections::VecDeque;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::{Events, Poll};

use crate::rig::engine::{Conn, Wire};
use crate::rig::house::{House, SECRET, Service};
use crate::rig::pairs::{BODY, Door};
use crate::rig::pipe::Target;
use crate::rig::proc::Process;
use crate::rig::report::per_mille;
use crate::rig::simp::Routing;
use crate::rig::transfer::Session;
use crate::rig::{Failure, house, pairs, simp, transfer};

/// Pairs who talk.
pub const PAIRS: usize = 100;
/// Each sends a message so often; ten of them at a time.
const PERIOD: Duration = Duration::from_millis(100);
const AT_ONCE: usize = 10;
/// Messages of one pair that may be under way; what is more is not sent, and counts as waiting.
const MOST: usize = 200;
/// Users who come anew, one after the other, with this pause.
const NEWCOMERS: usize = 8;
const PAUSE: Duration = Duration::from_millis(200);
/// Between two looks at the server's process.
const LOOK: Duration = Duration::from_millis(50);

/// The accounts they need.
pub fn accounts() -> impl Iterator<Item = String> {
    pairs::users(PAIRS).chain((0..NEWCOMERS).map(newcomer))
}

fn newcomer(index: usize) -> String {
    format!("newcomer{index}")
}

/// What was seen in one phase.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    latencies: Vec<Duration>,
    /// Messages that were refused, and connections of pairs that were lost.
    pub failed: u64,
    /// How long newcomers took to log in.
    pub entered: Vec<Duration>,
    /// Newcomers who were not let in.
    pub refused: u64,
    /// Octets of resident memory, at most.
    pub memory: u64,
    /// Of one core, a hundredth.
    pub cpu: f64,
    /// Open descriptors, at most.
    pub descriptors: usize,
}

impl Seen {
    /// The median, the 99th of a hundred, and the longest.
    pub fn latency(&mut self) -> [Duration; 3] {
        [500, 990, 1000].map(|part| per_mille(&mut self.latencies, part))
    }

    /// The longest that a newcomer took.
    pub fn slowest(&self) -> Duration {
        self.entered.iter().max().copied().unwrap_or_default()
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All of them at work.
pub struct Honest {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    /// Nanoseconds of CPU at the start of the phase, and when that was.
    since: (Duration, Instant),
    threads: Vec<JoinHandle<()>>,
}

impl Honest {
    /// Logs them in and lets them talk.
    ///
    /// # Errors
    /// If a login is refused.
    pub fn start(house: &House, server: &Process) -> Result<Honest, Failure> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let mut talk = Talk::enter(house, seen.clone(), stop.clone())?;
        let mut threads = vec![thread::spawn(move || {
            if let Err(Failure(why)) = talk.run() {
                locked(&talk.seen).failed += 1;
                crate::rig::proc::note(&format!("the pairs can't go on: {why}"));
            }
        })];
        let pid = server.id();
        let (shared, ended) = (seen.clone(), stop.clone());
        threads.push(thread::spawn(move || look(pid, &shared, &ended)));
        let doors = Doors {
            simp: house.target(Service::Simp),
            imtp: house.target(Service::Imtp),
            tls: house.beside().ok_or("no TLS here")?,
            users: (0..NEWCOMERS).map(|index| house.user(&newcomer(index))).collect(),
        };
        let (shared, ended) = (seen.clone(), stop.clone());
        // It may hang in a login for long, and is not waited for.
        thread::spawn(move || doors.come(&shared, &ended));
        Ok(Honest { seen, stop, since: (server.cpu()?, Instant::now()), threads })
    }

    /// Ends a phase: what was seen in it.
    ///
    /// # Errors
    /// If the server's process has ended.
    pub fn phase(&mut self, server: &Process) -> Result<Seen, Failure> {
        let now = (server.cpu()?, Instant::now());
        let mut seen = std::mem::take(&mut *locked(&self.seen));
        seen.cpu = (now.0 - self.since.0).as_secs_f64() / (now.1 - self.since.1).as_secs_f64() * 100.0;
        self.since = now;
        Ok(seen)
    }
}

impl Drop for Honest {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// One who sends, one who answers.
struct Pair {
    kinds: [Service; 2],
    conns: [Option<Conn>; 2],
    /// When those under way were meant to be sent.
    under_way: VecDeque<Instant>,
    next_id: u64,
}

/// The pairs.
struct Talk {
    poll: Poll,
    pairs: Vec<Pair>,
    simp: simp::Messages,
    imtp: transfer::Messages,
    buffer: Vec<u8>,
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
}

impl Talk {
    fn enter(house: &House, seen: Arc<Mutex<Seen>>, stop: Arc<AtomicBool>) -> Result<Talk, Failure> {
        let poll = Poll::new()?;
        let (mut all, mut names) = (Vec::new(), Vec::new());
        let services = [Service::Simp, Service::Imtp];
        let mut doors = [Door::open((house, services[0]))?, Door::open((house, services[1]))?];
        for index in 0..PAIRS {
            let (alice, bob) = pairs::pair(index);
            let (alice, bob) = (house.user(&alice), house.user(&bob));
            let (from, to) = (index % 2, index / 2 % 2);
            let mut conns = [doors[from].enter(&alice, false)?, doors[to].enter(&bob, true)?];
            for (side, conn) in conns.iter_mut().enumerate() {
                conn.register(&poll, 2 * index + side)?;
            }
            let (kinds, conns) = ([services[from], services[to]], conns.map(Some));
            all.push(Pair { kinds, conns, under_way: VecDeque::new(), next_id: 1 });
            names.push((alice, bob));
        }
        let (simp, imtp) = (simp::Messages::new(&names, BODY), transfer::Messages::new(&names, BODY));
        Ok(Talk { poll, pairs: all, simp, imtp, buffer: vec![0; 64 * 1024], seen, stop })
    }

    /// Messages go out when they are due, whether or not those before have been answered; a message's time
    /// begins when it was due.
    fn run(&mut self) -> Result<(), Failure> {
        let mut events = Events::with_capacity(1024);
        let step = PERIOD * AT_ONCE as u32 / PAIRS as u32;
        let (mut due, mut first) = (Instant::now(), 0);
        while !self.stop.load(Ordering::Relaxed) {
            let left = due.saturating_duration_since(Instant::now());
            // The kernel counts in whole milliseconds, and rounds up.
            self.poll.poll(&mut events, Some(Duration::from_millis(left.as_millis() as u64)))?;
            for event in &events {
                self.hear(event.token().0);
            }
            if Instant::now() >= due {
                for pair in first..first + AT_ONCE {
                    self.send(pair, due);
                }
                first = (first + AT_ONCE) % PAIRS;
                due += step;
            }
        }
        Ok(())
    }

    fn wire(&self, service: Service) -> &dyn Wire {
        match service {
            Service::Simp => &self.simp,
            Service::Imtp | Service::Pitp => &self.imtp,
        }
    }

    fn send(&mut self, index: usize, due: Instant) {
        let Pair { kinds, conns, under_way, next_id } = &mut self.pairs[index];
        let Some(conn) = &mut conns[0] else { return };
        if under_way.len() >= MOST {
            return locked(&self.seen).latencies.push(under_way[0].elapsed());
        }
        under_way.push_back(due);
        let wire: &dyn Wire = if kinds[0] == Service::Simp { &self.simp } else { &self.imtp };
        wire.message(index, *next_id, &mut conn.out);
        *next_id += 1;
        if conn.flush().is_err() {
            self.lost(index, 0);
        }
    }

    fn hear(&mut self, token: usize) {
        let (index, side) = (token / 2, token % 2);
        let kind = self.pairs[index].kinds[side];
        let Some(mut conn) = self.pairs[index].conns[side].take() else { return };
        let mut buffer = std::mem::take(&mut self.buffer);
        let (mut done, mut failed) = (0, 0);
        let result = conn.read(&mut buffer, |input, out| {
            if side == 1 {
                return self.wire(kind).answer(input, out);
            }
            let replies = self.wire(kind).replies(input);
            done += replies.done;
            failed += replies.failed;
            replies.used
        });
        self.buffer = buffer;
        let result = result.and_then(|()| conn.flush());
        self.pairs[index].conns[side] = Some(conn);
        let now = Instant::now();
        let answered = (done + failed).min(self.pairs[index].under_way.len() as u64) as usize;
        let mut seen = locked(&self.seen);
        seen.failed += failed;
        seen.latencies.extend(self.pairs[index].under_way.drain(..answered).map(|due| now - due));
        drop(seen);
        if result.is_err() {
            self.lost(index, side);
        }
    }

    fn lost(&mut self, index: usize, side: usize) {
        self.pairs[index].conns[side] = None;
        locked(&self.seen).failed += 1;
    }
}

/// Watches the process.
fn look(pid: u32, seen: &Mutex<Seen>, stop: &AtomicBool) {
    let mut looks = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let statm = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
        let pages = statm.split(' ').nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        // Counting descriptors takes milliseconds where there are many.
        let open = looks
            .is_multiple_of(10)
            .then(|| fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count));
        let mut seen = locked(seen);
        seen.memory = seen.memory.max(pages * 4096);
        seen.descriptors = seen.descriptors.max(open.unwrap_or(0));
        drop(seen);
        looks += 1;
        thread::sleep(LOOK);
    }
}

/// Where newcomers come in.
struct Doors {
    simp: Target,
    imtp: Target,
    tls: Target,
    users: Vec<String>,
}

impl Doors {
    fn come(&self, seen: &Mutex<Seen>, stop: &AtomicBool) {
        let Ok(keys) = house::keys() else { return };
        let count = AtomicU64::new(0);
        while !stop.load(Ordering::Relaxed) {
            let index = count.fetch_add(1, Ordering::Relaxed) as usize;
            let user = &self.users[index % self.users.len()];
            let began = Instant::now();
            let result = match index % 3 {
                0 => Session::login(&self.imtp, user, &keys).map(drop),
                1 => Routing::open(&self.simp).and_then(|mut door| door.login(user, SECRET)).map(drop),
                _ => Routing::open(&self.tls).and_then(|mut door| door.challenge(user)).map(drop),
            };
            let mut seen = locked(seen);
            match result {
                Ok(()) => seen.entered.push(began.elapsed()),
                Err(Failure(why)) => {
                    if seen.refused == 0 {
                        crate::rig::proc::note(&format!("a newcomer was not let in: {why}"));
                    }
                    seen.refused += 1;
                }
            }
            drop(seen);
            thread::sleep(PAUSE);
        }
    }
}

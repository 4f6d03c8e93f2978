//! Real connections to the real server, as many as the limits of this machine allow: what each takes in the server
//! and in the kernel, and what its silence costs.

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::Bench;
use crate::kernel::{Growth, Kernel};
use crate::rig::house::{House, Service, free_port};
use crate::rig::pairs::Door;
use crate::rig::{Failure, proc};

/// Descriptors that both sides need beside connections.
const SPARE: usize = 200;
/// Connections from one address: it has some 28,000 ports.
const PORTS: usize = 20_000;
/// The server's and the generator's memory for a connection, at most; and the kernel's for both ends.
const OCTETS: usize = 16 * 1024;

/// What was found.
pub struct Real {
    /// How it was called.
    pub what: String,
    /// Connections.
    pub count: usize,
    /// Octets of the server's memory for each.
    pub server: f64,
    /// The kernel's.
    pub kernel: Growth,
    /// Microseconds of the server's CPU for a connection's minute of silence.
    pub silence: Option<f64>,
}

/// How many connections can be held here, and what stands in the way of more.
pub fn possible(wanted: usize) -> (usize, Option<String>) {
    let limits = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limits.maximum, maximum: limits.maximum };
    let granted = if setrlimit(Resource::Nofile, raised).is_ok() { limits.maximum } else { limits.current };
    let descriptors = granted.map_or(usize::MAX, |n| n as usize).saturating_sub(SPARE);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = memory.lines().find(|line| line.starts_with("MemAvailable:")).unwrap_or_default();
    let kib =
        line.split_whitespace().nth(1).and_then(|n| n.parse::<usize>().ok()).unwrap_or(usize::MAX / 1024);
    let room = kib.saturating_mul(1024) / OCTETS;
    if wanted <= descriptors && wanted <= room {
        (wanted, None)
    } else if descriptors < room {
        let why = format!("a process may hold {} descriptors (ulimit -Hn)", descriptors + SPARE);
        (descriptors, Some(why))
    } else {
        (room, Some(format!("there are {} MiB of memory left", kib / 1024)))
    }
}

/// Fills a server with idle users.
///
/// # Errors
/// Whatever keeps it from being measured.
pub fn fill(bench: &Bench, service: Service, tls: bool, count: usize) -> Result<Real, Failure> {
    let name = format!("{}.{}.test", service.name(), if tls { "secured" } else { "idle" });
    let house = House::build(bench.dir(), &name, free_port(Ipv4Addr::LOCALHOST.into())?, &[], tls)?;
    house.populate((0..count).map(|user| format!("user{user}")), true)?;
    let server = house.serve(None)?;
    let mut door = Door::open((&house, service))?;
    let mut held: Vec<TcpStream> = Vec::with_capacity(count);
    let warm = 200.min(count / 10);
    let own = std::process::id();
    let (mut before, mut kernel, mut mine) = (0, Kernel::default(), 0);
    for user in 0..count {
        if user == warm {
            before = server.settled()?;
            (kernel, mine) = (Kernel::look()?, proc::memory(own, "Rss:")?);
        }
        if user % PORTS == 0 && user > 0 {
            door.come_from(Ipv4Addr::new(127, 0, 1, (user / PORTS) as u8).into());
        }
        held.push(door.log_in(&house.user(&format!("user{user}")), true)?.0);
        if user % 50_000 == 49_999 {
            proc::note(&format!("{} connections", user + 1));
        }
    }
    let counted = count - warm;
    drain(&mut held)?;
    let after = server.settled()?;
    let grown = |now: u64, then: u64| now as f64 - then as f64;
    let processes = grown(after, before) + grown(proc::memory(own, "Rss:")?, mine);
    let kernel = Kernel::look()?.since(&kernel, counted, processes);
    let silence = if bench.silence == 0 { None } else { Some(minute(bench, &server, count)?) };
    let kind = if tls { "TLS" } else { "plain" };
    Ok(Real {
        what: format!("{}, {kind}", if service == Service::Simp { "SIMP" } else { "IMTP" }),
        count,
        server: grown(after, before) / counted as f64,
        kernel,
        silence,
    })
}

/// Reads what has come meanwhile, so that it is in nobody's buffers.
fn drain(held: &mut [TcpStream]) -> Result<(), Failure> {
    let mut buffer = [0; 4096];
    for stream in held {
        stream.set_nonblocking(true)?;
        while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
    }
    Ok(())
}

/// The server's CPU time while nobody says anything, for a connection and a minute.
fn minute(bench: &Bench, server: &proc::Process, count: usize) -> Result<f64, Failure> {
    // All of them have been silent for a minute first: from then on each is written to once a minute.
    std::thread::sleep(Duration::from_secs(60));
    let (before, begun) = (server.cpu()?, Instant::now());
    std::thread::sleep(Duration::from_secs(bench.silence));
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    Ok((server.cpu()? - before).as_secs_f64() * 1e6 / count as f64 / minutes)
}

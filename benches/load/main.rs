//! The benchmark: what hearth costs its machine, beside a bare relay in the same run.
//!
//! `cargo bench --bench load` builds the server, starts it and the relay on one core, loads them in
//! turn from another, and prints what each operation cost in CPU time as the operating system
//! accounts it. `docs/performance.md` says how to read it.

mod messages;
mod paced;
#[path = "../rig/mod.rs"]
mod rig;
mod users;

use std::cell::OnceCell;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use rig::house::{self, House, Service};
use rig::report::Report;
use rig::shim::Shim;
use rig::{Failure, proc};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The relay, one server, and two federating ones.
    Messages,
    /// Allocations and system calls: messages, notifications, logins.
    Calls,
    /// Digest logins.
    Logins,
    /// A presence change and its watchers.
    Watchers,
    /// Delivery beside a slow disk.
    Disk,
    /// Idle connections, plain.
    Idle,
    /// Idle connections on TLS.
    IdleTls,
    /// Messages over IMTP and across the families, beside the relay.
    Imtp,
    /// Allocations and system calls of those.
    ImtpCalls,
    /// SCRAM logins.
    ImtpLogins,
    /// A change of presence and its watchers, over PITP.
    PitpWatchers,
    /// Idle listening IMTP connections, plain.
    ImtpIdle,
    /// Idle listening IMTP connections on TLS.
    ImtpIdleTls,
    /// Latency at fixed rates, beside the relay's.
    Paced,
    /// A start with a million accounts.
    Start,
}

/// Measures what hearth costs, beside a bare relay.
///
/// LOAD_HEARTH names another server binary than the one just built.
#[derive(Parser)]
#[command(name = "load")]
struct Arguments {
    /// Only these parts.
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Rounds of each measure; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Operations of one round with one message in flight; others follow from it.
    #[arg(long, default_value_t = 200_000)]
    operations: u64,
    /// Pairs of users who write to each other.
    #[arg(long, default_value_t = 100)]
    pairs: usize,
    /// Messages under way in each pair: the loads to measure.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16])]
    windows: Vec<u64>,
    /// Messages per second of the measures at fixed rates.
    #[arg(long, value_delimiter = ',', default_values_t = [1000, 5000, 10_000, 20_000])]
    rates: Vec<u64>,
    /// Seconds of a turn at a fixed rate: short, so that a stall of the machine spoils one of many.
    #[arg(long, default_value_t = 0.3)]
    seconds: f64,
    /// Turns that each server has at each rate; their median counts.
    #[arg(long, default_value_t = 31)]
    turns: usize,
    /// Watchers of one user.
    #[arg(long, default_value_t = 1000)]
    watchers: usize,
    /// Idle connections.
    #[arg(long, default_value_t = 19_000)]
    idle: usize,
    /// Accounts of the server that is started.
    #[arg(long, default_value_t = 1_000_000)]
    accounts: usize,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What all measures share.
pub struct Bench {
    /// Rounds of each measure.
    pub rounds: usize,
    /// Operations of one round.
    pub operations: u64,
    /// Pairs of users.
    pub pairs: usize,
    /// Messages under way in each pair: the loads to measure.
    pub windows: Vec<u64>,
    /// Messages per second of the measures at fixed rates.
    pub rates: Vec<u64>,
    /// Seconds of a turn at a fixed rate.
    pub seconds: f64,
    /// Turns of each server at each rate.
    pub turns: usize,
    /// Watchers of one user.
    pub watchers: usize,
    /// Idle connections.
    pub idle: usize,
    /// Accounts of the server that is started.
    pub accounts: usize,
    dir: tempfile::TempDir,
    shim: OnceCell<Shim>,
}

impl Bench {
    /// Where everything is; removed at the end.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A free port of an address of this machine.
    ///
    /// # Errors
    /// If there is none.
    pub fn address(&self, ip: [u8; 4]) -> Result<SocketAddr, Failure> {
        house::free_port(ip.into())
    }

    /// A house without peers, in clear.
    ///
    /// # Errors
    /// If its files can't be written.
    pub fn house(&self, domain: &str, ip: [u8; 4]) -> Result<House, Failure> {
        self.house_with(domain, ip, false)
    }

    /// A house without peers.
    ///
    /// # Errors
    /// If its files can't be written.
    pub fn house_with(&self, domain: &str, ip: [u8; 4], tls: bool) -> Result<House, Failure> {
        House::build(self.dir(), domain, self.address(ip)?, &[], tls)
    }

    /// The library that counts and delays, built at its first use.
    ///
    /// # Errors
    /// If it can't be built.
    pub fn shim(&self) -> Result<&Shim, Failure> {
        if let Some(shim) = self.shim.get() {
            return Ok(shim);
        }
        let shim = Shim::build(self.dir())?;
        Ok(self.shim.get_or_init(|| shim))
    }

    fn measure(&self, part: Part, report: &mut Report) -> Result<(), Failure> {
        match part {
            Part::Messages => messages::against_relay(self, report),
            Part::Calls => {
                messages::counted(self, report, Service::Simp)?;
                users::counted(self, report, Service::Simp)
            }
            Part::Logins => users::logins(self, report),
            Part::Watchers => users::fan_out(self, report, Service::Simp),
            Part::Disk => messages::slow_disk(self, report),
            Part::Idle => users::idle(self, report, Service::Simp, false),
            Part::IdleTls => users::idle(self, report, Service::Simp, true),
            Part::Imtp => messages::of_both_families(self, report),
            Part::ImtpCalls => {
                messages::counted(self, report, Service::Imtp)?;
                users::counted(self, report, Service::Pitp)
            }
            Part::ImtpLogins => users::scram_logins(self, report),
            Part::PitpWatchers => users::fan_out(self, report, Service::Pitp),
            Part::ImtpIdle => users::idle(self, report, Service::Imtp, false),
            Part::ImtpIdleTls => users::idle(self, report, Service::Imtp, true),
            Part::Paced => paced::beside_relay(self, report),
            Part::Start => users::start(self, report),
        }
    }
}

fn run() -> Result<bool, Failure> {
    if rig::relay::asked_for()? {
        return Ok(true);
    }
    let arguments = Arguments::parse();
    proc::take_load_core();
    let bench = Bench {
        rounds: arguments.rounds.max(1),
        operations: arguments.operations,
        pairs: arguments.pairs,
        windows: arguments.windows,
        rates: arguments.rates,
        seconds: arguments.seconds,
        turns: arguments.turns.max(1),
        watchers: arguments.watchers,
        idle: arguments.idle,
        accounts: arguments.accounts,
        dir: tempfile::tempdir()?,
        shim: OnceCell::new(),
    };
    let parts = if arguments.parts.is_empty() { Part::value_variants() } else { &arguments.parts };
    let (mut report, mut complete) = (Report::default(), true);
    for part in parts {
        if let Err(Failure(why)) = bench.measure(*part, &mut report) {
            proc::note(&format!("{part:?} could not be measured: {why}"));
            complete = false;
        }
    }
    print!("{report}");
    Ok(complete)
}

fn main() -> ExitCode {
    rig::exit_code(run())
}

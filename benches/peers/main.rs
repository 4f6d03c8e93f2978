//! The benchmark: hearth beside the servers that a user would pick instead.
//!
//! `cargo bench --bench peers` installs them from Debian's packages if they are missing, starts each on loopback
//! from the configuration kept beside this file, and loads them, hearth and the bare relay in turn within each
//! round, all by one generator. `docs/performance.md` says how to read it.

mod ejabberd;
mod hearth;
mod kamailio;
mod measures;
mod peer;
mod prosody;
mod results;
#[path = "../rig/mod.rs"]
mod rig;
mod xmpp;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use clap::{Parser, ValueEnum};

use peer::Peer;
use results::{Results, Who};
use rig::{Failure, house, proc};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Acknowledged messages.
    Messages,
    /// The same between two domains.
    Federated,
    /// Latency at fixed rates.
    Paced,
    /// A change of presence and its watchers.
    Watchers,
    /// Logins and logouts.
    Logins,
    /// Idle users.
    Idle,
}

/// Measures hearth beside Prosody, ejabberd, Kamailio and a bare relay.
///
/// LOAD_HEARTH names another hearth than the one just built.
#[derive(Parser)]
#[command(name = "peers")]
struct Arguments {
    /// Only these parts.
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Only servers whose name holds one of these.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Rounds of each measure; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Messages of one round with one in flight; others follow from it.
    #[arg(long, default_value_t = 50_000)]
    operations: u64,
    /// Pairs of users who write to each other.
    #[arg(long, default_value_t = 100)]
    pairs: usize,
    /// Messages under way in each pair: the loads to measure.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16])]
    windows: Vec<u64>,
    /// Messages per second of the measure at fixed rates.
    #[arg(long, value_delimiter = ',', default_values_t = [1000, 5000, 10_000, 20_000])]
    rates: Vec<u64>,
    /// Seconds of a turn at a fixed rate: short, so that a stall of the machine spoils one of many.
    #[arg(long, default_value_t = 0.3)]
    seconds: f64,
    /// Turns that each server has at each rate; their median counts.
    #[arg(long, default_value_t = 21)]
    turns: usize,
    /// Watchers of one user.
    #[arg(long, default_value_t = 1000)]
    watchers: usize,
    /// Users who log in and out.
    #[arg(long, default_value_t = 1024)]
    accounts: usize,
    /// Idle users: the numbers to measure at.
    #[arg(long, value_delimiter = ',', default_values_t = [5_000, 19_000])]
    idle: Vec<usize>,
    /// Where the results go as JSON.
    #[arg(long, default_value = "target/peers.json")]
    json: PathBuf,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What all measures share.
pub struct Bench {
    /// Rounds of each measure.
    pub rounds: usize,
    /// Messages of one round.
    pub operations: u64,
    /// Pairs of users.
    pub pairs: usize,
    /// Messages under way in each pair: the loads to measure.
    pub windows: Vec<u64>,
    /// Messages per second of the measure at fixed rates.
    pub rates: Vec<u64>,
    /// Seconds of a turn at a fixed rate.
    pub seconds: f64,
    /// Turns of each server at each rate.
    pub turns: usize,
    /// Watchers of one user.
    pub watchers: usize,
    /// Users who log in and out.
    pub accounts: usize,
    /// Idle users.
    pub idle: Vec<usize>,
    dir: tempfile::TempDir,
}

impl Bench {
    /// A new folder for a server's files, removed at the end. A name used before is numbered.
    ///
    /// # Errors
    /// If it can't be made.
    pub fn folder(&self, name: &str) -> Result<PathBuf, Failure> {
        let used = fs::read_dir(self.dir.path())?.count();
        let folder = self.dir.path().join(format!("{name}-{used}"));
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// A free port of an address of this machine.
    ///
    /// # Errors
    /// If there is none.
    pub fn address(&self, ip: [u8; 4]) -> Result<SocketAddr, Failure> {
        house::free_port(ip.into())
    }

    /// The greatest number of idle users.
    pub fn most_idle(&self) -> usize {
        self.idle.iter().copied().max().unwrap_or(0)
    }

    fn measure(&self, part: Part, peers: &[Box<dyn Peer>], results: &mut Results) {
        match part {
            Part::Messages => measures::messages(self, peers, results, false),
            Part::Federated => measures::messages(self, peers, results, true),
            Part::Paced => measures::paced(self, peers, results),
            Part::Watchers => measures::watchers(self, peers, results),
            Part::Logins => measures::logins(self, peers, results),
            Part::Idle => measures::idle(self, peers, results),
        }
    }

    /// What is aimed at.
    fn judge(&self, results: &mut Results) {
        let all = ["Prosody", "ejabberd", "Kamailio", "Kamailio UDP", "Kamailio as shipped"];
        let (xmpp, sip) = (["Prosody", "ejabberd"], ["Kamailio", "Kamailio UDP", "Kamailio as shipped"]);
        for ours in ["hearth SIMP", "hearth IMTP"] {
            results.below("message, 1 in flight", ours, &all, 6.0);
            results.below("message, 16 in flight", ours, &all, 10.0);
            results.below(&format!("one of {} notifications", self.watchers), ours, &all, 10.0);
            for number in &self.idle {
                let measure = format!("idle connection, {number} of them");
                results.below(&measure, ours, &xmpp, 20.0);
                results.below(&measure, ours, &sip, 4.0);
            }
            results.below("login and logout", ours, &sip, 3.0);
            results.below("login and logout", ours, &xmpp, 20.0);
            results.at_most("5000 per second, p99", ours, "bare relay", 2.0);
        }
    }
}

/// The machine, for the record.
fn describe(results: &mut Results, arguments: &Arguments) {
    let first = |path: &str, key: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|l| l.starts_with(key)).unwrap_or_default();
        line.trim_start_matches(key).trim_matches([' ', '\t', ':', '=', '"']).to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (idle, windows) = (&arguments.idle, &arguments.windows);
    let settings = format!(
        "{} rounds, {} messages a round, {} pairs, in flight {windows:?}, {} watchers, idle {idle:?}",
        arguments.rounds, arguments.operations, arguments.pairs, arguments.watchers,
    );
    results.machine.extend([
        ("processor", format!("{cores} cores, {}", first("/proc/cpuinfo", "model name"))),
        ("kernel", first("/proc/sys/kernel/osrelease", "")),
        ("system", first("/etc/os-release", "PRETTY_NAME=")),
        ("settings", settings),
    ]);
}

/// All servers, in the order of the tables.
fn everybody() -> Vec<Box<dyn Peer>> {
    vec![
        Box::new(hearth::Relay),
        Box::new(hearth::SIMP),
        Box::new(hearth::IMTP),
        Box::new(xmpp::Xmpp(prosody::Prosody)),
        Box::new(xmpp::Xmpp(ejabberd::Ejabberd)),
        Box::new(kamailio::CONNECTED),
        Box::new(kamailio::DATAGRAMS),
        Box::new(kamailio::AS_SHIPPED),
    ]
}

fn run() -> Result<bool, Failure> {
    if rig::relay::asked_for()? {
        return Ok(true);
    }
    let arguments = Arguments::parse();
    let install = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/install");
    if !Command::new(&install).stdout(Stdio::null()).status()?.success() {
        return Err(Failure(format!("{} has failed", install.display())));
    }
    let mut results = Results::default();
    describe(&mut results, &arguments);
    proc::take_load_core();
    let mut peers = everybody();
    let only = &arguments.only;
    peers.retain(|peer| only.is_empty() || only.iter().any(|o| peer.name().contains(o.as_str())));
    for peer in &peers {
        let (name, configuration) = (peer.name().to_owned(), peer.configuration().to_owned());
        results.peers.push(Who { name, version: peer.version()?, configuration });
    }
    let bench = Bench {
        rounds: arguments.rounds.max(1),
        operations: arguments.operations,
        pairs: arguments.pairs,
        windows: arguments.windows,
        rates: arguments.rates,
        seconds: arguments.seconds,
        turns: arguments.turns.max(1),
        watchers: arguments.watchers,
        accounts: arguments.accounts.max(rig::logins::AT_ONCE),
        idle: arguments.idle,
        dir: tempfile::tempdir()?,
    };
    let parts = if arguments.parts.is_empty() { Part::value_variants() } else { &arguments.parts };
    for part in parts {
        bench.measure(*part, &peers, &mut results);
        // After each, since the whole takes long.
        fs::write(&arguments.json, serde_json::to_vec_pretty(&results)?)?;
    }
    bench.judge(&mut results);
    fs::write(&arguments.json, serde_json::to_vec_pretty(&results)?)?;
    print!("{}", results.markdown());
    Ok(results.complete())
}

fn main() -> ExitCode {
    rig::exit_code(run())
}

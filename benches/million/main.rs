//! The benchmark of sizes: a million users in one server, and what a message costs while everything else grows.
//!
//! `cargo bench --bench million` fills the real server with as many real connections as this machine allows, and one
//! node in process with up to a million; then it draws curves. It prints the tables of `docs/performance.md`, and
//! draws `docs/million.svg` if asked to.

mod chart;
mod crowd;
mod curves;
mod feed;
mod kernel;
mod people;
#[path = "../rig/mod.rs"]
mod rig;
mod sockets;
mod spent;
mod tables;
mod within;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use rig::house::{House, Service, free_port};
use rig::{Failure, proc};
use tables::Found;
use within::{Spec, What, measure};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Real connections to the real server, plain and TLS, and the kernel's share of them.
    Real,
    /// One node in process: SIMP.
    Simp,
    /// One node in process: IMTP.
    Imtp,
    /// The curves.
    Curves,
}

/// Measures how hearth bears a million users.
///
/// LOAD_HEARTH names another server binary than the one just built.
#[derive(Parser)]
#[command(name = "million")]
struct Arguments {
    /// Only these parts.
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Real connections of each kind; as many as the limits allow, if those are fewer.
    #[arg(long, default_value_t = 19_000)]
    real: usize,
    /// Seconds of silence with them, to see what that costs; 0: none.
    #[arg(long, default_value_t = 60)]
    silence: u64,
    /// Users in one process.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1000, 10_000, 100_000, 1_000_000])]
    sizes: Vec<usize>,
    /// Of the largest number, those who are watched, by ten others each; of the others all are.
    #[arg(long, default_value_t = 100_000)]
    watched: usize,
    /// Where the curves are taken.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1000, 10_000, 100_000, 1_000_000])]
    grows: Vec<usize>,
    /// Pairs that write to each other whatever grows.
    #[arg(long, default_value_t = 100)]
    pairs: usize,
    /// Messages of one round.
    #[arg(long, default_value_t = 100_000)]
    messages: usize,
    /// Rounds of each measure; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Draw the chart there.
    #[arg(long)]
    chart: Option<PathBuf>,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What all measures share.
pub struct Bench {
    /// Seconds of silence.
    pub silence: u64,
    arguments: Arguments,
    dir: tempfile::TempDir,
}

impl Bench {
    /// Where everything is; removed at the end.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A house of so many users, each with a device key.
    fn house(&self, users: usize) -> Result<House, Failure> {
        let domain = format!("of{users}.test");
        let house = House::build(self.dir(), &domain, free_port(Ipv4Addr::LOCALHOST.into())?, &[], false)?;
        proc::note(&format!("writing {users} accounts"));
        house.populate((0..users).map(|user| format!("user{user}")), true)?;
        Ok(house)
    }

    fn spec(&self, what: What, service: Service, house: &House, users: usize) -> Spec {
        let arguments = &self.arguments;
        Spec {
            what,
            service,
            dir: house.dir().to_owned(),
            domain: house.domain.clone(),
            users,
            pairs: arguments.pairs,
            messages: arguments.messages,
            rounds: arguments.rounds,
            watched: users,
            churn: true,
            grows: arguments.grows.clone(),
        }
    }

    fn real(&self, found: &mut Found) -> Result<(), Failure> {
        let wanted = self.arguments.real;
        let (count, why) = sockets::possible(wanted);
        if let Some(why) = why {
            found.note(format!("{count} of {wanted} real connections: {why}"));
        }
        for (service, tls) in [(Service::Simp, false), (Service::Simp, true), (Service::Imtp, false)] {
            found.real.push(sockets::fill(self, service, tls, count)?);
        }
        Ok(())
    }

    fn crowds(&self, service: Service, found: &mut Found) -> Result<(), Failure> {
        let most = self.arguments.sizes.iter().copied().max().unwrap_or(0);
        for users in &self.arguments.sizes {
            let house = self.house(*users)?;
            let mut spec = self.spec(What::Crowd, service, &house, *users);
            if *users == most {
                spec.watched = self.arguments.watched.min(*users);
            }
            found.crowds.push((service, measure(&spec)?));
            std::fs::remove_dir_all(house.dir())?;
        }
        Ok(())
    }

    fn curves(&self, found: &mut Found) -> Result<(), Failure> {
        let pairs = 2 * self.arguments.pairs;
        for all in &self.arguments.grows {
            let house = self.house(*all)?;
            let mut spec = self.spec(What::Accounts, Service::Simp, &house, pairs.min(*all));
            spec.grows = vec![*all];
            let points: Vec<curves::Point> = measure(&spec)?;
            found.accounts.extend(points);
            std::fs::remove_dir_all(house.dir())?;
        }
        let house = self.house(100_000)?;
        found.idle_subscriptions =
            measure(&self.spec(What::IdleSubscriptions, Service::Simp, &house, 100_000))?;
        std::fs::remove_dir_all(house.dir())?;
        let house = self.house(pairs + 5000)?;
        found.active_subscriptions =
            measure(&self.spec(What::ActiveSubscriptions, Service::Simp, &house, pairs + 5000))?;
        let house = self.house(pairs)?;
        found.rules = measure(&self.spec(What::Rules, Service::Simp, &house, pairs))?;
        let house = self.house(pairs + 1)?;
        found.peers = measure(&self.spec(What::Peers, Service::Simp, &house, pairs))?;
        let mut spec = self.spec(What::Links, Service::Simp, &house, pairs);
        spec.grows.retain(|links| *links < LINKS);
        spec.grows.push(LINKS);
        found.links = measure(&spec)?;
        Ok(())
    }
}

/// Links that a node has at most.
const LINKS: usize = 20_000;

fn run() -> Result<bool, Failure> {
    if within::asked_for()? {
        return Ok(true);
    }
    let arguments = Arguments::parse();
    proc::bind(std::process::id(), proc::LOAD_CORE);
    let bench = Bench { silence: arguments.silence, arguments, dir: tempfile::tempdir()? };
    let parts = match &bench.arguments.parts[..] {
        [] => Part::value_variants(),
        parts => parts,
    };
    let (mut found, mut complete) = (Found::default(), true);
    for part in parts {
        let measured = match part {
            Part::Real => bench.real(&mut found),
            Part::Simp => bench.crowds(Service::Simp, &mut found),
            Part::Imtp => bench.crowds(Service::Imtp, &mut found),
            Part::Curves => bench.curves(&mut found),
        };
        if let Err(Failure(why)) = measured {
            proc::note(&format!("{part:?} could not be measured whole: {why}"));
            complete = false;
        }
    }
    print!("{found}");
    if let Some(path) = &bench.arguments.chart {
        std::fs::write(path, chart::draw(&found))?;
    }
    Ok(complete)
}

fn main() -> ExitCode {
    rig::exit_code(run())
}

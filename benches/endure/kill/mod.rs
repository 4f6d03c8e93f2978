//! SIGKILL under load, again and again.
//!
//! Each round users of two domains and the command line change things as fast as they can; after a random number of
//! acknowledgements, or at a random moment, one server or both are killed, started again, and asked: whatever was
//! acknowledged must be there, what was under way must be there whole or not at all, kept messages and reports come
//! once, and the database must be sound. Every fourth round the domains also talk to each other.

mod accounts;
mod across;
pub mod contacts;
mod leases;
mod messages;
pub mod worker;

use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use hearth::sim::chance::Chance;

use crate::home::{Home, Ready, Resident};
use crate::rig::Failure;
use crate::rig::house::Service;
use crate::rig::proc::note;
use crate::rig::report::{Report, per_mille};
use accounts::Accounts;
use across::Watches;
use contacts::{Entries, Mappings, What};
use leases::Leases;
use messages::{Keeping, Reporting};
use worker::{Tally, Trouble, Worker};

/// The goal of the restart.
const READY: Duration = Duration::from_secs(1);
/// The longest load of a round.
const LOAD: Duration = Duration::from_secs(60);
/// Acknowledgements until the end, at most.
const GOAL: u64 = 150;
/// The moment of the end, at most, milliseconds.
const MOMENT: u64 = 400;
/// Of so many rounds one is between two domains.
const ACROSS: u64 = 4;

/// How often, and by which seed.
#[derive(Args)]
pub struct Options {
    /// How often a server is killed.
    #[arg(long, default_value_t = 100)]
    pub times: u64,
    /// Of what is done and when it ends; how the threads meet is the system's affair.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Tell how each round went.
    #[arg(long)]
    pub verbose: bool,
}

/// The two homes, and what was seen so far.
struct Bench {
    homes: [Arc<Home>; 2],
    /// Load on one server.
    near: Vec<Box<dyn Worker>>,
    /// Load between the two.
    far: Vec<Box<dyn Worker>>,
    chance: Chance,
    restarts: Vec<Ready>,
    acknowledged: u64,
    kills: u64,
    rounds: u64,
}

/// Kills servers until it has been often enough, or something is wrong.
///
/// # Errors
/// If the servers can't be set up.
pub fn run(options: &Options, report: &mut Report) -> Result<bool, Failure> {
    let seed = match options.seed {
        Some(seed) => seed,
        None => u64::from(getrandom::u32()?),
    };
    note(&format!("seed {seed}"));
    let dir = tempfile::Builder::new().prefix("hearth-endure-").tempdir()?;
    let mut bench = Bench::new(dir.path(), seed)?;
    let begun = Instant::now();
    while bench.kills < options.times {
        if let Err(Failure(why)) = bench.round(options.verbose) {
            let kept = dir.keep();
            note(&format!(
                "seed {seed}, round {}: {why}\nits files stay in {}",
                bench.rounds,
                kept.display()
            ));
            for home in &bench.homes {
                note(&format!("the log of {} ends\n{}", home.domain, home.tail()));
            }
            report.against("what was acknowledged is there", format!("no: {why}"), "all of it", false);
            return Ok(false);
        }
        if bench.kills.is_multiple_of(100) {
            note(&format!("{} kills, {:.0} s", bench.kills, begun.elapsed().as_secs_f64()));
        }
    }
    bench.tell(seed, report);
    Ok(true)
}

impl Bench {
    fn new(dir: &Path, seed: u64) -> Result<Bench, Failure> {
        let ips = [IpAddr::from([127, 91, 0, 1]), IpAddr::from([127, 91, 0, 2])];
        let a = Arc::new(Home::new(dir, "a.test", ips[0])?);
        let b = Arc::new(Home::new(dir, "b.test", ips[1])?);
        // The one tries the one family first, the other the other.
        a.configure(&[&b], "[\"simp\", \"imtp\"]", "")?;
        b.configure(&[&a], "[\"imtp\", \"simp\"]", "")?;
        let mut chance = Chance::new(seed);
        let near = near(&a, &b, &mut chance);
        let far = far(&a, &b, &mut chance);
        for home in [&a, &b] {
            home.populate(&residents_of(home, near.iter().chain(&far)))?;
            home.start()?;
        }
        let (restarts, acknowledged, kills, rounds) = Default::default();
        Ok(Bench { homes: [a, b], near, far, chance, restarts, acknowledged, kills, rounds })
    }

    /// Load, death, restart, verification.
    fn round(&mut self, verbose: bool) -> Result<(), Failure> {
        self.rounds += 1;
        let far = self.chance.between(1, ACROSS) == 1;
        let which = match self.chance.between(1, 100) {
            1..=60 => [true, false],
            61..=80 => [false, true],
            _ => [true, true],
        };
        let victims: Vec<Arc<Home>> = self
            .homes
            .iter()
            .zip(which)
            .filter(|(_, dies)| *dies)
            .map(|(home, _)| Arc::clone(home))
            .collect();
        let by_count = self.chance.percent(60);
        let goal = if by_count { self.chance.between(1, GOAL) } else { u64::MAX };
        let moment = Duration::from_millis(self.chance.between(0, MOMENT));
        let tally = Tally::new(victims.clone(), goal);
        self.load(&tally, far, (!by_count).then_some(moment))?;
        self.acknowledged += tally.acknowledgements();
        let mut ready = Vec::new();
        for home in &victims {
            let start = home.start()?;
            ready.push(start.took);
            self.restarts.push(start);
        }
        for home in &self.homes {
            home.settle()?;
        }
        for home in &victims {
            let wrong = home.reader()?.check()?;
            if !wrong.is_empty() {
                return Err(Failure(format!("the database of {} is damaged: {wrong:?}", home.domain)));
            }
        }
        self.kills += victims.len() as u64;
        self.verify(far)?;
        if verbose {
            let names: Vec<&str> = victims.iter().map(|home| home.domain).collect();
            let acknowledged = tally.acknowledgements();
            note(&format!(
                "round {}: {acknowledged} acknowledged, {names:?} killed, ready after {ready:?}{}",
                self.rounds,
                if far { ", between two domains" } else { "" }
            ));
        }
        Ok(())
    }

    /// Everybody works until the end.
    fn load(&mut self, tally: &Tally, far: bool, moment: Option<Duration>) -> Result<(), Failure> {
        let problem = Mutex::new(None);
        let far = if far { &mut self.far[..] } else { &mut [] };
        std::thread::scope(|scope| {
            for worker in self.near.iter_mut().chain(far) {
                let problem = &problem;
                scope.spawn(move || {
                    let outcome = until_over(worker.as_mut(), tally);
                    worker.rest();
                    if let Err(why) = outcome {
                        let mut problem = problem.lock().unwrap_or_else(PoisonError::into_inner);
                        problem.get_or_insert(Failure(format!("{}: {why}", worker.name())));
                        tally.end();
                    }
                });
            }
            if !tally.wait(moment.unwrap_or(LOAD)) && moment.is_none() {
                let mut problem = problem.lock().unwrap_or_else(PoisonError::into_inner);
                problem.get_or_insert(Failure(format!("after {LOAD:?} too little was acknowledged")));
            }
            tally.end();
        });
        match problem.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(problem) => Err(problem),
            None => Ok(()),
        }
    }

    /// Is all there?
    fn verify(&mut self, far: bool) -> Result<(), Failure> {
        let far = if far { &mut self.far[..] } else { &mut [] };
        std::thread::scope(|scope| {
            let checks: Vec<_> = self
                .near
                .iter_mut()
                .chain(far)
                .map(|worker| scope.spawn(move || (worker.verify(), worker.name())))
                .collect();
            for check in checks {
                match check.join() {
                    Ok((Ok(()), _)) => {}
                    Ok((Err(why), name)) => return Err(Failure(format!("{name}: {why}"))),
                    Err(_) => return Err(Failure("a check has panicked".into())),
                }
            }
            Ok(())
        })
    }

    fn tell(&mut self, seed: u64, report: &mut Report) {
        let again: u64 = self.near.iter().chain(&self.far).map(|worker| worker.given_again()).sum();
        report.figure("servers killed, in rounds", format!("{} in {}, seed {seed}", self.kills, self.rounds));
        report.figure("acknowledged while they ran", self.acknowledged.to_string());
        report.against("of that lost, reported or given twice", "0".to_owned(), "0", true);
        report.figure("taken, not confirmed by the disk, and given again", again.to_string());
        report.against("databases that failed their check", "0".to_owned(), "0", true);
        let mut took: Vec<Duration> = self.restarts.iter().map(|ready| ready.took).collect();
        let mut work: Vec<Duration> = self.restarts.iter().map(|ready| ready.work).collect();
        let met = took.iter().all(|took| *took < READY);
        report.against("restart, to the first login challenge", spread(&mut took), "1000 ms", met);
        report.figure("CPU time of a restart", spread(&mut work));
    }
}

/// Median, ninety-ninth of a hundred, and most.
fn spread(times: &mut [Duration]) -> String {
    let mut at = |part| per_mille(times, part).as_secs_f64() * 1000.0;
    format!("median {:.1} ms, p99 {:.1} ms, most {:.1} ms", at(500), at(990), at(1000))
}

/// Those who live at a home.
pub fn residents_of<'w>(
    home: &Arc<Home>,
    workers: impl Iterator<Item = &'w Box<dyn Worker>>,
) -> Vec<Resident> {
    let all = workers.flat_map(|worker| worker.residents());
    all.filter(|(at, _)| Arc::ptr_eq(at, home)).map(|(_, resident)| resident).collect()
}

/// Works until the servers are gone; what fails then has failed because of that.
fn until_over(worker: &mut dyn Worker, tally: &Tally) -> Result<(), Trouble> {
    while !tally.is_over() {
        match worker.work(tally) {
            Err(Trouble::Gone(_)) if tally.is_over() => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

/// Load that each server bears by itself.
pub fn near(a: &Arc<Home>, b: &Arc<Home>, chance: &mut Chance) -> Vec<Box<dyn Worker>> {
    use Service::{Imtp, Simp};
    let mut seed = || Chance::new(chance.between(0, u64::MAX - 1));
    vec![
        Box::new(Entries::new(a, What::Profile)),
        Box::new(Entries::new(b, What::Profile)),
        Box::new(Entries::new(a, What::AccessList)),
        Box::new(Mappings::new(a, seed())),
        Box::new(Leases::new((a, a), seed())),
        Box::new(Accounts::new(a, seed())),
        Box::new(Keeping::new((a, Simp), (a, Imtp), seed())),
        Box::new(Keeping::new((b, Imtp), (b, Simp), seed())),
        Box::new(Reporting::new((a, Simp), (a, Imtp), seed())),
        Box::new(Reporting::new((a, Imtp), (a, Simp), seed())),
    ]
}

/// Load between the two.
pub fn far(a: &Arc<Home>, b: &Arc<Home>, chance: &mut Chance) -> Vec<Box<dyn Worker>> {
    use Service::{Imtp, Simp};
    let mut seed = || Chance::new(chance.between(0, u64::MAX - 1));
    vec![
        Box::new(Leases::new((a, b), seed())),
        Box::new(Watches::new(a, b)),
        Box::new(Watches::new(b, a)),
        Box::new(Keeping::new((a, Simp), (b, Simp), seed())),
        Box::new(Keeping::new((b, Imtp), (a, Imtp), seed())),
        Box::new(Reporting::new((a, Simp), (b, Simp), seed())),
        Box::new(Reporting::new((b, Simp), (a, Imtp), seed())),
    ]
}

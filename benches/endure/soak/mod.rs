//! Two servers of two domains under mixed load, at a modest pace: whatever they hold must stay as it is.
//!
//! The load is that of the kills, without the kills, and more: messages within and between the domains and the
//! families, logins and logouts, contact lists, wrong logins, broken connections, domains that aren't there, the command
//! line, reloads. The first third of the time lets everything fill; of the rest the last half is compared with the
//! first.

mod names;
mod people;
mod samples;
mod strangers;

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use hearth::sim::chance::Chance;

use crate::home::Home;
use crate::kill::worker::{Tally, Trouble, Worker};
use crate::kill::{far, near, residents_of};
use crate::rig::Failure;
use crate::rig::proc::note;
use crate::rig::report::Report;
use names::Names;
use people::{Comings, Talk};
use samples::Samples;
use strangers::{Broken, Nowhere, Wrong};

/// Between two reloads of one of the servers.
const RELOAD: Duration = Duration::from_secs(30);
/// Between two rounds of the command line.
const COMMANDS: Duration = Duration::from_secs(60);
/// Less is too short to be judged.
const JUDGED: Duration = Duration::from_secs(600);

/// How long, and how fast.
#[derive(Args)]
pub struct Options {
    /// How long it lasts.
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// Seconds between two samples.
    #[arg(long, default_value_t = 10.0)]
    every: f64,
    /// Everybody pauses so many times as long as usual.
    #[arg(long, default_value_t = 1.0)]
    pause: f64,
    /// Of what is done.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// A worker and how long it pauses.
type Paced = (Box<dyn Worker>, Duration);

/// Lets two servers run, and tells what they held.
///
/// # Errors
/// If they can't be set up.
pub fn run(options: &Options, report: &mut Report) -> Result<bool, Failure> {
    let dir = tempfile::Builder::new().prefix("hearth-endure-").tempdir()?;
    let names = Names::start()?;
    let [a, b] = [("a.test", 1), ("b.test", 2)].map(|(domain, last)| {
        Home::new(dir.path(), domain, IpAddr::V4(Ipv4Addr::new(127, 92, 0, last))).map(Arc::new)
    });
    let (a, b) = (a?, b?);
    let dns = format!("[dns]\nnameservers = [\"{}\"]\n", names.address());
    a.configure(&[&b], "[\"simp\", \"imtp\"]", &dns)?;
    b.configure(&[&a], "[\"imtp\", \"simp\"]", &dns)?;
    let mut everybody = everybody(&a, &b, options);
    for home in [&a, &b] {
        home.populate(&residents_of(home, everybody.iter().map(|(worker, _)| worker)))?;
        home.start()?;
    }
    let samples = Mutex::new(Samples::new(&[&a, &b])?);
    let begun = Instant::now();
    let lasts = Duration::from_secs_f64(options.minutes * 60.0);
    let tally = Tally::new(Vec::new(), u64::MAX);
    let problem = load(&mut everybody, &tally, || watch(&[&a, &b], options, lasts, &tally, &samples));
    let samples = samples.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.figure(
        "time",
        format!("{:.1} minutes, seed {}", begun.elapsed().as_secs_f64() / 60.0, options.seed),
    );
    report.figure("acknowledged changes, messages and logins", tally.acknowledgements().to_string());
    samples.tell(report, lasts >= JUDGED);
    if let Some(Failure(why)) = problem {
        let kept = dir.keep();
        note(&format!("{why}\nits files stay in {}", kept.display()));
        report.against("everything as it should be", format!("no: {why}"), "", false);
        return Ok(false);
    }
    report.against("everything as it should be", "yes".to_owned(), "", true);
    Ok(true)
}

fn everybody(a: &Arc<Home>, b: &Arc<Home>, options: &Options) -> Vec<Paced> {
    use crate::rig::house::Service::{Imtp, Simp};
    let mut chance = Chance::new(options.seed);
    let pause = |millis: u64| Duration::from_millis(millis).mul_f64(options.pause);
    let mut all: Vec<Paced> = Vec::new();
    for worker in near(a, b, &mut chance).into_iter().chain(far(a, b, &mut chance)) {
        let slow = worker.name().starts_with("accounts");
        all.push((worker, pause(if slow { 5000 } else { 500 })));
    }
    let mut seed = || Chance::new(chance.between(0, u64::MAX - 1));
    for (number, (from, to)) in [
        ((a, Simp), (a, Simp)),
        ((a, Imtp), (a, Imtp)),
        ((a, Simp), (b, Imtp)),
        ((b, Simp), (a, Simp)),
        ((b, Imtp), (a, Imtp)),
    ]
    .into_iter()
    .enumerate()
    {
        all.push((Box::new(Talk::new(number, from, to, seed())), pause(100)));
    }
    all.push((Box::new(Comings::new(a, b, seed())), pause(500)));
    all.push((Box::new(Comings::new(b, a, seed())), pause(500)));
    all.push((Box::new(Wrong::new(a, seed())), pause(500)));
    all.push((Box::new(Broken::new(a, seed())), pause(300)));
    all.push((Box::new(Nowhere::new(a, seed())), pause(1000)));
    all
}

/// Everybody works until the end or the first problem.
fn load(
    everybody: &mut [Paced],
    tally: &Tally,
    watch: impl FnOnce() -> Result<(), Failure>,
) -> Option<Failure> {
    let problem = Mutex::new(None);
    let tell = |failure: Failure| {
        problem.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
        tally.end();
    };
    std::thread::scope(|scope| {
        for (worker, pause) in everybody.iter_mut() {
            let tell = &tell;
            scope.spawn(move || {
                let outcome = paced(worker.as_mut(), *pause, tally);
                worker.rest();
                if let Err(why) = outcome {
                    tell(Failure(format!("{}: {why}", worker.name())));
                }
            });
        }
        if let Err(failure) = watch() {
            tell(failure);
        }
        tally.end();
    });
    problem.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn paced(worker: &mut dyn Worker, pause: Duration, tally: &Tally) -> Result<(), Trouble> {
    while !tally.is_over() {
        match worker.work(tally) {
            Err(Trouble::Gone(_)) if tally.is_over() => {}
            outcome => outcome?,
        }
        tally.wait(pause);
    }
    Ok(())
}

/// Samples, reloads and commands until the time is over.
fn watch(
    homes: &[&Arc<Home>],
    options: &Options,
    lasts: Duration,
    tally: &Tally,
    samples: &Mutex<Samples>,
) -> Result<(), Failure> {
    let begun = Instant::now();
    let (mut reloads, mut rounds) = (0, 0);
    loop {
        let over = tally.wait(Duration::from_secs_f64(options.every));
        samples.lock().unwrap_or_else(PoisonError::into_inner).take(homes)?;
        if over || begun.elapsed() >= lasts {
            return Ok(());
        }
        if begun.elapsed() >= RELOAD * (reloads + 1) {
            reloads += 1;
            reload(homes[reloads as usize % homes.len()])?;
        }
        if begun.elapsed() >= COMMANDS * (rounds + 1) {
            rounds += 1;
            commands(homes[rounds as usize % homes.len()])?;
        }
    }
}

/// SIGHUP: certificate and rules are read anew.
fn reload(home: &Home) -> Result<(), Failure> {
    let id = home.with_process(|process| Ok(process.id()))?;
    let sent = Command::new("kill").args(["-HUP", &id.to_string()]).status()?;
    if sent.success() { Ok(()) } else { Err(Failure(format!("{} could not be signalled", home.domain))) }
}

/// What an operator looks at.
fn commands(home: &Home) -> Result<(), Failure> {
    let copy = home.dir().join("copy.db");
    let copied = copy.to_string_lossy();
    let peers = ["peer", "list", "--json"];
    for arguments in [&["status", "--json"][..], &peers, &["user", "list", "--json"], &["backup", &copied]] {
        let done = home.command(arguments, "")?;
        if !done.done {
            return Err(Failure(format!("hearth {}: {}", arguments.join(" "), done.complaint)));
        }
    }
    Ok(std::fs::remove_file(copy)?)
}

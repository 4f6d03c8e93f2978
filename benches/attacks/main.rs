//! Attacks on the server as an operator would run it, while a hundred pairs of honest users keep talking.
//!
//! `cargo bench --bench attacks` starts the server with its default limits, lets the pairs talk at a steady rate
//! and newcomers log in, sends an attacker (a process of its own, on the generator's core and less urgent than
//! it), and says what the honest users felt, what the server's process took, and what the attacker got:
//! before, meanwhile, and afterwards. All of it on loopback; each attack is bounded in count and time.
//! `docs/security.md` says how to read it.

mod attack;
mod honest;
#[path = "../rig/mod.rs"]
mod rig;
mod strike;

use std::io::Read;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};

use attack::Attack;
use honest::{Honest, Seen};
use rig::house::{self, House};
use rig::proc::{self, Process};
use rig::{Failure, hearth_binary};
use strike::Orders;

/// Attacks the server while honest users keep talking.
///
/// LOAD_HEARTH names another server binary than the one just built.
#[derive(Parser)]
#[command(name = "attacks")]
struct Arguments {
    /// Only these attacks.
    #[arg(value_enum)]
    attacks: Vec<Attack>,
    /// Seconds of each attack.
    #[arg(long, default_value_t = 8.0)]
    seconds: f64,
    /// Seconds before it, and after it.
    #[arg(long, default_value_t = 2.5)]
    quiet: f64,
    /// Only a second of some of them, to see that they run and that nobody honest is lost.
    #[arg(long)]
    smoke: bool,
    /// How much the attackers yield to the honest users, with whom they share a core.
    #[arg(long, default_value_t = 5)]
    nice: u8,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Nobody notices a delay below this, whatever it was before.
const UNNOTICED: Duration = Duration::from_millis(25);
/// And of those above it, none may be longer.
const LONGEST: Duration = Duration::from_secs(1);
/// A newcomer is in by then.
const ENTRANCE: Duration = Duration::from_secs(2);

/// What one attack came to.
struct Outcome {
    attack: Attack,
    before: Seen,
    meanwhile: Seen,
    after: Seen,
    /// What the attackers say they got.
    got: String,
}

fn attack(which: Attack, arguments: &Arguments, parent: &Path) -> Result<Outcome, Failure> {
    let dir = tempfile::tempdir_in(parent)?;
    let (evil, dns) = (house::free_port([127, 0, 0, 66].into())?, house::free_port([127, 0, 0, 53].into())?);
    let further = which.configuration(evil, dns);
    let house = House::ordinary(dir.path(), "attacked.test", [127, 0, 0, 1].into(), &further)?;
    house.populate(honest::accounts().chain(which.accounts()), true)?;
    let mut server = house.serve(None)?;
    let mut honest = Honest::start(&house, &server)?;
    let quiet = Duration::from_secs_f64(arguments.quiet);
    // The first second warms everything up.
    thread::sleep(Duration::from_secs(1));
    honest.phase(&server)?;
    thread::sleep(quiet);
    let before = honest.phase(&server)?;
    let orders = Orders::new(which, &house, evil, dns, arguments.seconds)?;
    let attackers = (0..which.attackers()).map(|number| start(&orders, number, arguments.nice));
    let mut attackers = attackers.collect::<Result<Vec<_>, _>>()?;
    let got: Vec<String> = attackers.iter_mut().map(said).collect::<Result<_, _>>()?;
    // What was under way is over by then.
    thread::sleep(Duration::from_millis(500));
    let mut meanwhile = honest.phase(&server)?;
    drop(attackers);
    thread::sleep(Duration::from_secs_f64(which.aftermath()));
    if let Some(status) = server.ended()? {
        return Err(Failure(format!("the server has ended: {status}")));
    }
    let transition = honest.phase(&server)?;
    meanwhile.failed += transition.failed;
    meanwhile.refused += transition.refused;
    meanwhile.memory = meanwhile.memory.max(transition.memory);
    thread::sleep(quiet);
    let after = honest.phase(&server)?;
    drop(honest);
    server.stop(Duration::from_secs(10));
    Ok(Outcome { attack: which, before, meanwhile, after, got: got.join("; ") })
}

/// An attacker: this program again, less urgent than the honest users.
fn start(orders: &Orders, number: usize, nice: u8) -> Result<Process, Failure> {
    let mut command = std::process::Command::new("nice");
    command.args(["-n", &nice.to_string()]).arg(std::env::current_exe()?);
    command.env(strike::ORDERS, orders.text(number)?).stdout(Stdio::piped());
    Process::start(command)
}

/// Waits for an attacker to end: what he says.
fn said(attacker: &mut Process) -> Result<String, Failure> {
    let mut text = String::new();
    attacker.stdout().ok_or("no output")?.read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

fn mebibytes(octets: u64) -> f64 {
    octets as f64 / 1024.0 / 1024.0
}

fn milliseconds(seen: &mut Seen) -> String {
    let [p50, p99, most] = seen.latency().map(|time| time.as_secs_f64() * 1000.0);
    format!("{p50:.1} / {p99:.1} / {most:.0}")
}

impl Outcome {
    /// Honest messages that were refused, and connections of pairs that were lost.
    fn lost(&self) -> u64 {
        self.before.failed + self.meanwhile.failed + self.after.failed
    }

    /// Which bounds it has not stayed in.
    fn missed(&mut self) -> Vec<String> {
        let mut missed = Vec::new();
        let [_, p99_before, most_before] = self.before.latency();
        let [_, p99, most] = self.meanwhile.latency();
        let bound = UNNOTICED.max(p99_before * 3);
        if p99 > bound {
            missed.push(format!("p99 over {} ms", bound.as_millis()));
        }
        if most > LONGEST.max(most_before * 3) {
            missed.push("a message took over a second".to_owned());
        }
        let lost = self.lost();
        if lost > 0 {
            missed.push(format!("{lost} honest messages or connections lost"));
        }
        let refused = self.meanwhile.refused + self.after.refused;
        if refused > 0 || self.meanwhile.slowest() > ENTRANCE {
            missed.push(format!("newcomers: {refused} refused, slowest {:?}", self.meanwhile.slowest()));
        }
        let (growth, allowed) =
            (self.meanwhile.memory.saturating_sub(self.before.memory), self.attack.memory());
        if mebibytes(growth) > allowed {
            missed.push(format!("memory grew by {:.0} MiB of {allowed:.0}", mebibytes(growth)));
        }
        let kept = mebibytes(self.after.memory.saturating_sub(self.before.memory));
        if kept > self.attack.kept() {
            missed.push(format!("{kept:.0} MiB not given back"));
        }
        missed
    }

    fn row(&mut self) -> String {
        let missed = self.missed();
        let verdict =
            if missed.is_empty() { "met".to_owned() } else { format!("missed: {}", missed.join(", ")) };
        let memory = [&self.before, &self.meanwhile, &self.after].map(|seen| mebibytes(seen.memory));
        let cpu = [&self.before, &self.meanwhile, &self.after].map(|seen| seen.cpu);
        format!(
            "| {} | {} → {} → {} | {:.0} ({} in, {} refused) | {:.0} → {:.0} → {:.0} (+{:.0}) | {:.0} → {:.0} → {:.0} | {} | {} | {verdict} |",
            self.attack.title(),
            milliseconds(&mut self.before),
            milliseconds(&mut self.meanwhile),
            milliseconds(&mut self.after),
            self.meanwhile.slowest().as_secs_f64() * 1000.0,
            self.meanwhile.entered.len(),
            self.meanwhile.refused,
            memory[0],
            memory[1],
            memory[2],
            self.attack.memory(),
            cpu[0],
            cpu[1],
            cpu[2],
            self.meanwhile.descriptors,
            self.got,
        )
    }
}

const HEAD: &str = "| attack | honest p50 / p99 / longest, ms: before → meanwhile → after | newcomers: slowest, ms | memory, MiB (bound of growth) | CPU, % of a core | descriptors | what the attacker got | |\n\
| --- | --- | --- | --- | --- | --- | --- | --- |";

fn run() -> Result<bool, Failure> {
    if strike::asked_for()? {
        return Ok(true);
    }
    let mut arguments = Arguments::parse();
    if arguments.smoke {
        (arguments.seconds, arguments.quiet) = (1.0, 0.3);
        arguments.attacks = attack::SMOKE.to_vec();
    }
    proc::take_load_core();
    proc::note(&format!("attacking {}", hearth_binary().display()));
    let dir = tempfile::tempdir()?;
    let attacks = if arguments.attacks.is_empty() { Attack::value_variants() } else { &arguments.attacks };
    let (mut rows, mut complete, began) = (Vec::new(), true, Instant::now());
    for which in attacks {
        match attack(*which, &arguments, dir.path()) {
            Ok(mut outcome) => {
                complete &= !arguments.smoke || outcome.lost() == 0;
                let row = outcome.row();
                proc::note(&row);
                rows.push(row);
            }
            Err(Failure(why)) => {
                proc::note(&format!("{which:?} could not be measured: {why}"));
                complete = false;
            }
        }
    }
    println!("{HEAD}\n{}", rows.join("\n"));
    proc::note(&format!("{} attacks in {} s", rows.len(), began.elapsed().as_secs()));
    Ok(complete)
}

fn main() -> ExitCode {
    rig::exit_code(run())
}

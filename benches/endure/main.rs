//! Endurance: the real process killed again and again, and left running for long.
//!
//! `cargo bench --bench endure -- kill --times 1000` kills servers under load, starts them again and looks whether
//! all is there that was promised; `-- soak --minutes 30` lets two of them run under mixed load and looks whether anything
//! grows. Both print a table; `docs/security.md` and `docs/performance.md` say how to read it.

mod home;
mod kill;
mod line;
#[path = "../rig/mod.rs"]
mod rig;
mod soak;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use rig::Failure;
use rig::report::Report;

/// What hearth keeps through a thousand deaths, and whether it grows.
///
/// LOAD_HEARTH names another server binary than the one just built.
#[derive(Parser)]
#[command(name = "endure")]
struct Arguments {
    #[command(subcommand)]
    part: Part,
    /// What `cargo bench` adds.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Part {
    /// SIGKILL under load, a restart, and a look at everything that was promised.
    Kill(kill::Options),
    /// Mixed load for half an hour: does anything grow?
    Soak(soak::Options),
}

fn run() -> Result<bool, Failure> {
    let arguments = Arguments::parse();
    let mut report = Report::default();
    let good = match arguments.part {
        Part::Kill(options) => kill::run(&options, &mut report)?,
        Part::Soak(options) => soak::run(&options, &mut report)?,
    };
    print!("{report}");
    Ok(good)
}

fn main() -> ExitCode {
    rig::exit_code(run())
}

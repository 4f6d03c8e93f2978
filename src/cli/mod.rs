//! The commands, one file each.
//!
//! [`main`] takes the command line apart ([`args`]), runs the one command, and turns what came of it
//! into a line on stderr and an exit status ([`failure`]). What a command needs of the server's
//! files, and how it changes them while a server runs or not, is in [`house`].

pub mod args;
mod backup;
mod chat;
mod check;
mod demo;
mod failure;
pub mod harmless;
mod house;
mod init;
mod key;
mod output;
mod peer;
mod places;
mod send;
mod serve;
mod status;
mod user;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use args::{Arguments, Command};
use failure::{Done, Failure};
use house::House;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return explain(&error),
    };
    match run(arguments).and_then(|()| output::settle()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Help where it was asked for or nothing was said; one line where something was not understood.
fn explain(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // Nobody is left to be told if this fails.
            let _ = error.print();
            ExitCode::from(error.exit_code().clamp(0, 2) as u8)
        }
        _ => Failure::usage(failure::usage_line(error)).report(),
    }
}

fn run(arguments: Arguments) -> Done {
    let config = arguments.config;
    if config.is_some() && matches!(arguments.command, Command::Demo { .. } | Command::Init(_)) {
        return Err(Failure::usage("--config names an existing server's: demo and init make their own"));
    }
    let house = || House::open(config.as_deref());
    match arguments.command {
        Command::Demo { once } => demo::run(once),
        Command::Init(init) => init::run(&init),
        Command::Serve => serve::run(config.as_deref()),
        Command::User(command) => user::run(&house()?, command),
        Command::Peer(command) => peer::run(&house()?, command),
        Command::Status { json } => status::run(&house()?, json),
        Command::Check => check::run(&house()?),
        Command::Backup { file } => backup::run(&house()?, &file),
        Command::Send(send) => send::run(config.as_deref(), send),
        Command::Chat(chat) => chat::run(config.as_deref(), &chat),
    }
}

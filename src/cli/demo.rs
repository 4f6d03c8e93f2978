//! `hearth demo`: two federated domains in one process, which talk to each other.
//!
//! [`world`] sets up the domains, each a whole server with a folder, accounts and an address of its own on
//! loopback, and a small DNS server ([`dns`]) by which they find and believe each other. [`scenes`] are
//! played by clients of SIMP, [`others`] by clients of IMTP and PITP and between the families; what happens is
//! printed as it happens. [`company`] keeps the users
//! online afterwards.

mod company;
mod dns;
mod others;
mod scenes;
mod world;

use crate::cli::output::say;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

use super::failure::{Done, Failure};
use world::World;

/// Plays it; stays up unless `once`.
pub fn run(once: bool) -> Done {
    // Silent unless asked: the transcript is what is to be read.
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("off")).init();
    let farewell = farewell().map_err(|error| Failure::new(format!("no signals can be heard: {error}")))?;
    let world = World::start()?;
    say!("{}", world.described());
    let played = scenes::play(&world).and_then(|()| others::play(&world));
    match &played {
        Ok(()) => say!("All went as it should.\n"),
        Err(failure) => say!("\nThis did not go as it should: {failure}\n"),
    }
    if !once && played.is_ok() {
        stay(&world, farewell)?;
    }
    world.stop();
    played
}

/// What can be read from once the program is told to end.
fn farewell() -> io::Result<UnixStream> {
    let (told, tell) = UnixStream::pair()?;
    for signal in [SIGINT, SIGTERM] {
        pipe::register(signal, tell.try_clone()?)?;
    }
    Ok(told)
}

fn stay(world: &World, mut farewell: UnixStream) -> Done {
    let company = company::Company::invite(world)?;
    say!("{}", world.how_to_join());
    let heard = farewell.read_exact(&mut [0]);
    company.leave();
    heard.map_err(|error| Failure::new(format!("signals can't be heard any more: {error}")))
}

//! The users of the demonstration stay online: they print what comes, and say okay.

use crate::cli::output::{complain, say};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::world::{User, World};
use crate::cli::failure::Failure;
use crate::cli::harmless::one_line;
use crate::client::Event;
use crate::client::blocking::Client;

/// How often a user looks up to see whether it is time to leave.
const LOOK_UP: Duration = Duration::from_millis(200);

/// Both of them, each on a thread of his own.
#[derive(Debug)]
pub(super) struct Company {
    leaving: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Company {
    /// Lets them log in and stay.
    pub(super) fn invite(world: &World) -> Result<Company, Failure> {
        let leaving = Arc::new(AtomicBool::new(false));
        let stay = |user: &User| {
            let client = user.login().map_err(Failure::new)?;
            let (name, leaving) = (user.address.clone(), Arc::clone(&leaving));
            std::thread::Builder::new()
                .name(name.clone())
                .spawn(move || answer(&name, client, &leaving))
                .map_err(|error| Failure::new(format!("no thread for a user: {error}")))
        };
        let threads = vec![stay(world.alice())?, stay(world.bob())?];
        Ok(Company { leaving, threads })
    }

    /// Lets them log out.
    pub(super) fn leave(self) {
        self.leaving.store(true, Ordering::Relaxed);
        for thread in self.threads {
            // One that panicked has said so on stderr.
            let _ = thread.join();
        }
    }
}

fn answer(name: &str, mut client: Client, leaving: &AtomicBool) {
    while !leaving.load(Ordering::Relaxed) {
        match client.next_event(LOOK_UP) {
            Ok(Some(Event::Message { id, message })) => {
                say!("  {:<17} --> {name:<17}  {}", message.from, one_line(&message.body));
                if let Err(error) = client.okay(id, "read") {
                    return complain!("hearth: {name} can't answer: {error}");
                }
            }
            Ok(Some(Event::Ended)) | Err(crate::client::Error::Ended) => return,
            Ok(_) => {}
            Err(error) => return complain!("hearth: {name} is offline: {error}"),
        }
    }
    // The server sees him go even if the farewell is lost.
    let _ = client.close();
}

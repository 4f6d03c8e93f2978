//! What all kinds of load have in common: they work until the servers die, and know afterwards what was promised.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hearth::client::Error;

use crate::home::{Home, Resident};
use crate::rig::Failure;

/// Between two looks at what gives no event.
const LOOK: Duration = Duration::from_millis(2);
/// Between two looks at whether it is over.
const MOMENT: Duration = Duration::from_millis(20);
/// How long anything may take to come about.
pub const LONG: Duration = Duration::from_secs(40);

/// Why work has ended.
#[derive(Debug)]
pub enum Trouble {
    /// The connection has: as it must be where the server was killed.
    Gone(Error),
    /// The server has done what it must not.
    Wrong(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Gone(error) => write!(f, "{error}"),
            Trouble::Wrong(what) => f.write_str(what),
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble::Gone(error)
    }
}

impl From<Failure> for Trouble {
    fn from(Failure(why): Failure) -> Trouble {
        Trouble::Wrong(why)
    }
}

/// The server has done what it must not.
pub fn wrong<T>(what: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble::Wrong(what.into()))
}

/// Now, in milliseconds since 1970.
pub fn date() -> i64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    since.as_millis() as i64
}

/// One kind of load.
pub trait Worker: Send {
    /// What it is called where something is wrong.
    fn name(&self) -> String;
    /// Whose accounts it needs, and where.
    fn residents(&self) -> Vec<(Arc<Home>, Resident)>;
    /// Does one thing and tells when it is acknowledged.
    ///
    /// # Errors
    /// [`Trouble::Gone`] when the server is.
    fn work(&mut self, tally: &Tally) -> Result<(), Trouble>;
    /// The servers are gone: nothing is to be left under way at one that isn't.
    fn rest(&mut self) {}
    /// The servers run again: is all there that was acknowledged?
    ///
    /// # Errors
    /// What is missing, or there once too often.
    fn verify(&mut self) -> Result<(), Trouble>;
    /// How often something came again that was taken, but not yet confirmed by the disk.
    fn given_again(&self) -> u64 {
        0
    }
}

/// Counts acknowledgements; at the chosen one the servers die.
pub struct Tally {
    victims: Vec<Arc<Home>>,
    goal: u64,
    acknowledged: AtomicU64,
    over: Mutex<bool>,
    changed: Condvar,
}

impl Tally {
    /// Kills these after so many.
    pub fn new(victims: Vec<Arc<Home>>, goal: u64) -> Tally {
        let acknowledged = AtomicU64::new(0);
        Tally { victims, goal, acknowledged, over: Mutex::new(false), changed: Condvar::new() }
    }

    /// One more thing was promised.
    pub fn acknowledge(&self) {
        if self.acknowledged.fetch_add(1, Ordering::SeqCst) + 1 == self.goal {
            self.end();
        }
    }

    /// How many things were promised.
    pub fn acknowledgements(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// The end, if it has not come yet.
    pub fn end(&self) {
        let first = !std::mem::replace(&mut *self.over.lock().unwrap_or_else(PoisonError::into_inner), true);
        if first {
            // Whoever sees something fail because of this sees first that it is over.
            self.victims.iter().for_each(|home| home.kill());
        }
        self.changed.notify_all();
    }

    /// Are the servers gone, or about to go?
    pub fn is_over(&self) -> bool {
        *self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the end, or so long: was it the end?
    pub fn wait(&self, at_most: Duration) -> bool {
        let over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(over, at_most, |over| !*over);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits for something that `next` gives if it comes within a moment, or until the end.
    ///
    /// # Errors
    /// [`Trouble::Gone`] at the end.
    pub fn wait_for<T>(
        &self,
        mut next: impl FnMut(Duration) -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Trouble> {
        let deadline = Instant::now() + LONG;
        while Instant::now() < deadline {
            if self.is_over() {
                return Err(Trouble::Gone(Error::Ended));
            }
            if let Some(come) = next(MOMENT)? {
                return Ok(Some(come));
            }
        }
        Ok(None)
    }

    /// Waits until `ready` says yes, looking again and again, or until the end.
    ///
    /// # Errors
    /// [`Trouble::Gone`] at the end; what is wrong with it if it takes too long.
    pub fn until(&self, what: &str, mut ready: impl FnMut() -> Result<bool, Trouble>) -> Result<(), Trouble> {
        let deadline = Instant::now() + LONG;
        loop {
            if self.is_over() {
                return Err(Trouble::Gone(Error::Ended));
            }
            match ready() {
                Ok(true) => return Ok(()),
                Ok(false) if Instant::now() > deadline => return wrong(format!("{what}: never")),
                Ok(false) => {}
                Err(_) if self.is_over() => return Err(Trouble::Gone(Error::Ended)),
                Err(trouble) => return Err(trouble),
            }
            self.wait(LOOK);
        }
    }
}

//! Checking passwords: argon2id takes tens of milliseconds and megabytes, so two threads do it, less urgent than
//! the loop, and only so many may wait. Users who have proved themselves from their address before are checked
//! first: whoever tries passwords from elsewhere does not keep them out.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::credential::{Secret, verify_argon2};
use crate::node::io::{JobId, JobResult};
use crate::server::answers::{Answer, Answers};

/// Threads: a login storm must leave the machine to the loop, and each check takes 19 MiB.
const THREADS: usize = 2;
/// Checks that may wait, of known users and of strangers; more are turned away.
const QUEUE: usize = 64;
/// How much the loop goes before the threads where they share a core.
const NICE: i32 = 10;

/// The loop's end of the pool.
#[derive(Debug)]
pub(super) struct Passwords {
    desk: Arc<Desk>,
    answers: Answers,
}

#[derive(Debug)]
struct Check {
    job: JobId,
    verifier: String,
    password: Secret,
}

/// Where checks wait.
#[derive(Debug, Default)]
struct Desk {
    waiting: Mutex<Waiting>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    known: VecDeque<Check>,
    strangers: VecDeque<Check>,
    over: bool,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next to be checked; none at the end.
    fn next(&self) -> Option<Check> {
        let mut waiting = self.lock();
        loop {
            if waiting.over {
                return None;
            }
            let next = waiting.known.pop_front().or_else(|| waiting.strangers.pop_front());
            if next.is_some() {
                return next;
            }
            waiting = self.more.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Passwords {
    /// Starts the threads. They end when this is dropped.
    ///
    /// # Errors
    /// There are no threads to be had.
    pub(super) fn start(answers: Answers) -> io::Result<Passwords> {
        let desk = Arc::new(Desk::default());
        let passwords = Passwords { desk, answers };
        for number in 0..THREADS {
            let (desk, answers) = (passwords.desk.clone(), passwords.answers.clone());
            thread::Builder::new().name(format!("password-{number}")).spawn(move || work(&desk, &answers))?;
        }
        Ok(passwords)
    }

    /// Checks a password against a verifier, of a user who is `known` at his address or of a stranger; the
    /// answer comes as `Done`, at once if too many wait.
    pub(super) fn check(&self, job: JobId, verifier: String, password: Secret, known: bool) {
        let mut waiting = self.desk.lock();
        let queue = if known { &mut waiting.known } else { &mut waiting.strangers };
        if queue.len() < QUEUE {
            queue.push_back(Check { job, verifier, password });
            drop(waiting);
            self.desk.more.notify_one();
        } else {
            drop(waiting);
            self.answers.send(Answer::Done(job, JobResult::Overloaded));
        }
    }
}

impl Drop for Passwords {
    fn drop(&mut self) {
        self.desk.lock().over = true;
        self.desk.more.notify_all();
    }
}

fn work(desk: &Desk, answers: &Answers) {
    // Where that is not allowed they share the machine as equals.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
    while let Some(Check { job, verifier, password }) = desk.next() {
        let verified = verify_argon2(&verifier, password.expose());
        answers.send(Answer::Done(job, JobResult::Verified(verified)));
    }
}

//! Checking passwords: argon2id takes tens of milliseconds and megabytes, so two threads do it and
//! only so many may wait.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::credential::{Secret, verify_argon2};
use crate::node::io::{JobId, JobResult};
use crate::server::answers::{Answer, Answers};

/// Threads: a login storm must leave the machine to the loop, and each check takes 19 MiB.
const THREADS: usize = 2;
/// Checks that may wait; more are turned away.
const QUEUE: usize = 64;

/// The loop's end of the pool.
#[derive(Debug)]
pub(super) struct Passwords {
    checks: SyncSender<Check>,
    answers: Answers,
}

struct Check {
    job: JobId,
    verifier: String,
    password: Secret,
}

impl Passwords {
    /// Starts the threads. They end when this is dropped.
    ///
    /// # Errors
    /// There are no threads to be had.
    pub(super) fn start(answers: Answers) -> io::Result<Passwords> {
        let (checks, inbox) = sync_channel(QUEUE);
        let inbox = Arc::new(Mutex::new(inbox));
        for number in 0..THREADS {
            let (inbox, answers) = (inbox.clone(), answers.clone());
            thread::Builder::new()
                .name(format!("password-{number}"))
                .spawn(move || work(&inbox, &answers))?;
        }
        Ok(Passwords { checks, answers })
    }

    /// Checks a password against a verifier; the answer comes as `Done`, at once if too many wait.
    pub(super) fn check(&self, job: JobId, verifier: String, password: Secret) {
        if self.checks.try_send(Check { job, verifier, password }).is_err() {
            self.answers.send(Answer::Done(job, JobResult::Overloaded));
        }
    }
}

fn work(inbox: &Mutex<Receiver<Check>>, answers: &Answers) {
    loop {
        // The lock is held while waiting for work, never while doing it.
        let check = inbox.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Check { job, verifier, password }) = check else { return };
        let verified = verify_argon2(&verifier, password.expose());
        answers.send(Answer::Done(job, JobResult::Verified(verified)));
    }
}

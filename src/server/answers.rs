//! How helper threads answer the loop: one channel and one wake-up for all of them.
//!
//! A burst of answers wakes the loop once: only the first answer since the loop last looked pays for
//! the system call.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};

use mio::{Registry, Token, Waker};

use crate::config::Config;
use crate::node::io::{JobId, JobResult};
use crate::server::keys::Keys;
use crate::store::record::Committed;

/// What a helper tells the loop.
#[derive(Debug)]
pub(super) enum Answer {
    /// A job is done.
    Done(JobId, JobResult),
    /// A batch was committed or rolled back.
    Committed(Committed),
    /// The configuration was read again, or why it could not be, in one line.
    Reloaded(Result<Reloaded, String>),
    /// End in order.
    Stop,
}

/// A configuration and the certificates it names, both checked.
#[derive(Debug)]
pub(super) struct Reloaded {
    /// The configuration.
    pub config: Arc<Config>,
    /// The certificates.
    pub keys: Keys,
    /// The keys of the configuration whose changes wait for a restart.
    pub restart: Vec<&'static str>,
}

/// The helpers' end.
#[derive(Debug, Clone)]
pub(super) struct Answers {
    sender: Sender<Answer>,
    bell: Arc<Bell>,
}

#[derive(Debug)]
struct Bell {
    waker: Waker,
    rung: AtomicBool,
}

impl Answers {
    /// Both ends; the loop hears `token` when there is something to take.
    ///
    /// # Errors
    /// The operating system's, if there is no waker to be had.
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<(Answers, Inbox)> {
        let bell = Arc::new(Bell { waker: Waker::new(registry, token)?, rung: AtomicBool::new(false) });
        let (sender, receiver) = mpsc::channel();
        Ok((Answers { sender, bell: bell.clone() }, Inbox { receiver, bell }))
    }

    /// Hands in an answer. After the loop has ended it goes nowhere.
    pub(super) fn send(&self, answer: Answer) {
        self.send_all([answer]);
    }

    /// Hands in several, which the loop hears of when all are there.
    pub(super) fn send_all(&self, answers: impl IntoIterator<Item = Answer>) {
        let mut answers = answers.into_iter();
        if answers.all(|answer| self.sender.send(answer).is_ok())
            && !self.bell.rung.swap(true, Ordering::SeqCst)
        {
            // It fails only if the loop is gone.
            let _ = self.bell.waker.wake();
        }
    }
}

/// The loop's end.
#[derive(Debug)]
pub(super) struct Inbox {
    receiver: Receiver<Answer>,
    bell: Arc<Bell>,
}

impl Inbox {
    /// To be called when the token was heard, before taking: what is handed in from now on rings again.
    pub(super) fn heard(&self) {
        self.bell.rung.store(false, Ordering::SeqCst);
    }

    /// The next answer, if there is one.
    pub(super) fn take(&self) -> Option<Answer> {
        self.receiver.try_recv().ok()
    }
}

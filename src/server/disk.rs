//! The store's two threads: one that commits, one that reads, each on a connection of its own. A slow
//! disk delays what waits for it, and nothing else.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::thread;
use std::time::Duration;

use crate::node::io::{JobId, JobResult};
use crate::server::answers::{Answer, Answers};
use crate::store::record::{Batch, Committed, Read, Reading};

/// Questions that may wait; more are turned away.
const READS: usize = 4096;
/// Batches committed together at most, so that the first does not wait for ever more.
const GROUP: usize = 1024;

/// The thread that commits.
#[derive(Debug)]
pub(super) struct Writer {
    batches: Option<Sender<Batch>>,
    finished: Receiver<()>,
}

impl Writer {
    /// Starts it. `commit` is given all batches that wait, and says what became of each, in order.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(super) fn start(
        answers: Answers,
        mut commit: impl FnMut(&[Batch]) -> Vec<Committed> + Send + 'static,
    ) -> io::Result<Writer> {
        let (batches, inbox) = mpsc::channel::<Batch>();
        let (done, finished) = mpsc::channel();
        thread::Builder::new().name("writer".to_owned()).spawn(move || {
            // Dropped with everything that `commit` owns: then the data directory is free.
            let _done: Sender<()> = done;
            while let Ok(first) = inbox.recv() {
                let mut group = vec![first];
                group.extend(inbox.try_iter().take(GROUP - 1));
                for committed in commit(&group) {
                    answers.send(Answer::Committed(committed));
                }
            }
            drop(commit);
        })?;
        Ok(Writer { batches: Some(batches), finished })
    }

    /// Commits a batch; the answer comes as `Committed`.
    pub(super) fn commit(&self, batch: Batch) {
        if let Some(batches) = &self.batches {
            // The thread ends only after this.
            let _ = batches.send(batch);
        }
    }

    /// Waits until all is committed, but not for ever. False: it was not.
    pub(super) fn finish(&mut self, patience: Duration) -> bool {
        self.batches = None;
        matches!(self.finished.recv_timeout(patience), Err(RecvTimeoutError::Disconnected))
    }
}

/// The thread that reads.
#[derive(Debug)]
pub(super) struct Reader {
    questions: Option<SyncSender<(JobId, Read)>>,
    answers: Answers,
    finished: Receiver<()>,
}

impl Reader {
    /// Starts it.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(super) fn start(
        answers: Answers,
        mut read: impl FnMut(&Read) -> Reading + Send + 'static,
    ) -> io::Result<Reader> {
        let (questions, inbox) = mpsc::sync_channel::<(JobId, Read)>(READS);
        let replies = answers.clone();
        let (done, finished) = mpsc::channel();
        thread::Builder::new().name("reader".to_owned()).spawn(move || {
            // Dropped with everything that `read` owns.
            let _done: Sender<()> = done;
            for (job, question) in inbox {
                replies.send(Answer::Done(job, JobResult::Read(read(&question))));
            }
            drop(read);
        })?;
        Ok(Reader { questions: Some(questions), answers, finished })
    }

    /// Asks; the answer comes as `Done`, at once if too many wait.
    pub(super) fn ask(&self, job: JobId, question: Read) {
        let asked = self.questions.as_ref().is_some_and(|q| q.try_send((job, question)).is_ok());
        if !asked {
            self.answers.send(Answer::Done(job, JobResult::Overloaded));
        }
    }

    /// Waits until its connection to the database is closed, but not for ever.
    pub(super) fn finish(&mut self, patience: Duration) {
        self.questions = None;
        let _ = self.finished.recv_timeout(patience);
    }
}

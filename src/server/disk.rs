//! The store's two threads: one that commits, one that reads, each on a connection of its own. A slow
//! disk delays what waits for it, and nothing else.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use crate::node::io::{JobId, JobResult};
use crate::server::answers::{Answer, Answers};
use crate::store::record::{Batch, Committed, Read, Reading};

/// Questions that may wait; more are turned away.
const READS: usize = 4096;
/// Questions that are answered together at most.
const TOGETHER: usize = 32;
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

/// The thread that reads. It is handed all questions of a tick at once, so that it is woken once for them.
#[derive(Debug)]
pub(super) struct Reader {
    questions: Option<Sender<Vec<Question>>>,
    /// To be handed over.
    gathered: RefCell<Vec<Question>>,
    /// Handed over or about to be, and not answered.
    waiting: Arc<AtomicUsize>,
    answers: Answers,
    finished: Receiver<()>,
}

/// What is asked, and the name for its answer.
type Question = (JobId, Read);

impl Reader {
    /// Starts it. `read` is given several questions and answers them in order.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(super) fn start(
        answers: Answers,
        mut read: impl FnMut(&[&Read]) -> Vec<Reading> + Send + 'static,
    ) -> io::Result<Reader> {
        let (questions, inbox) = mpsc::channel::<Vec<Question>>();
        let (replies, waiting) = (answers.clone(), Arc::new(AtomicUsize::new(0)));
        let left = waiting.clone();
        let (done, finished) = mpsc::channel();
        thread::Builder::new().name("reader".to_owned()).spawn(move || {
            // Dropped with everything that `read` owns.
            let _done: Sender<()> = done;
            for together in inbox.iter().flat_map(chunks) {
                let (jobs, questions): (Vec<_>, Vec<_>) = together.iter().map(|(job, q)| (*job, q)).unzip();
                let readings = read(&questions).into_iter().map(JobResult::Read);
                left.fetch_sub(jobs.len(), Ordering::Relaxed);
                replies
                    .send_all(jobs.into_iter().zip(readings).map(|(job, result)| Answer::Done(job, result)));
            }
            drop(read);
        })?;
        let gathered = RefCell::default();
        Ok(Reader { questions: Some(questions), gathered, waiting, answers, finished })
    }

    /// Asks with the next [`Reader::begin`]; the answer comes as `Done`, at once if too many wait.
    pub(super) fn ask(&self, job: JobId, question: Read) {
        if self.questions.is_none() || self.waiting.load(Ordering::Relaxed) >= READS {
            return self.answers.send(Answer::Done(job, JobResult::Overloaded));
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.gathered.borrow_mut().push((job, question));
    }

    /// Hands over what has been asked.
    pub(super) fn begin(&self) {
        if let Some(questions) = &self.questions
            && !self.gathered.borrow().is_empty()
        {
            // The thread ends only after this.
            let _ = questions.send(self.gathered.take());
        }
    }

    /// Waits until its connection to the database is closed, but not for ever.
    pub(super) fn finish(&mut self, patience: Duration) {
        self.questions = None;
        let _ = self.finished.recv_timeout(patience);
    }
}

/// So few at a time that the first need not wait for many others.
fn chunks(mut questions: Vec<Question>) -> impl Iterator<Item = Vec<Question>> {
    std::iter::from_fn(move || {
        let rest = questions.split_off(questions.len().min(TOGETHER));
        let first = std::mem::replace(&mut questions, rest);
        Some(first).filter(|first| !first.is_empty())
    })
}

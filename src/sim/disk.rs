//! A simulated disk under a real store in memory: commits take time, a crash loses what was not
//! committed, and it can be full, slow, broken or stuck.
//!
//! What goes to and fro between a node and its store is counted in steps: a batch is handed over, its
//! transaction begins, is half done, is committed, the node hears of it; a question is put, and answered. A test
//! may let the process die at any one of them.

use std::collections::VecDeque;

use crate::store::Store;
use crate::store::record::{Batch, Committed, KeptCalendar, Read, Reading};

/// How the disk does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    /// Well.
    #[default]
    Well,
    /// Full: nothing is committed, and the writer says so.
    Full,
    /// Nearly full: what needs no more room than there is goes on, and the rest fails in the midst.
    Tight,
    /// Broken: neither read nor written.
    Broken,
    /// Stuck: commits wait until it is well again.
    Stuck,
    /// Slow: whatever is asked of it takes seconds.
    Slow,
}

/// How much slower a slow disk is.
const SLOW: u64 = 400;

/// The disk of one host. It survives the crash of its node.
pub struct Disk {
    store: Store,
    /// Batches that are not committed yet.
    pub pending: VecDeque<Batch>,
    /// When the writer's last answer reaches the node.
    pub told: u64,
    /// How it does.
    pub health: Health,
    /// Milliseconds that a commit takes, at least and at most.
    pub commit: (u64, u64),
    /// Milliseconds that a read takes, at least and at most.
    pub read: (u64, u64),
    /// Steps so far.
    pub steps: u64,
    /// The process dies at this step.
    pub dies_at: Option<u64>,
}

impl Disk {
    /// With an empty store.
    pub fn new(store: Store) -> Disk {
        Disk {
            store,
            pending: VecDeque::new(),
            told: 0,
            health: Health::Well,
            commit: (1, 8),
            read: (0, 2),
            steps: 0,
            dies_at: None,
        }
    }

    /// One step more; true if the process dies of it.
    pub fn step(&mut self) -> bool {
        self.steps += 1;
        let dies = self.dies_at.is_some_and(|at| at <= self.steps);
        if dies {
            self.dies_at = None;
        }
        dies
    }

    /// Milliseconds that a commit takes now, at least and at most.
    pub fn commit_takes(&self) -> (u64, u64) {
        self.slowed(self.commit)
    }

    /// Milliseconds that a read takes now, at least and at most.
    pub fn read_takes(&self) -> (u64, u64) {
        self.slowed(self.read)
    }

    fn slowed(&self, (low, high): (u64, u64)) -> (u64, u64) {
        match self.health {
            Health::Slow => ((low * SLOW).max(SLOW), (high * SLOW).max(SLOW)),
            _ => (low, high),
        }
    }

    /// Commits the oldest batches that wait, so many at most, in one transaction.
    pub fn commit_next(&mut self, most: usize) -> Vec<Committed> {
        let group: Vec<Batch> = self.pending.drain(..most.min(self.pending.len())).collect();
        match self.health {
            Health::Full | Health::Broken => {
                group.iter().map(|batch| Committed { number: batch.number, outcomes: None }).collect()
            }
            Health::Tight => self.store.without_growing(|store| store.commit_batches(&group)),
            Health::Well | Health::Stuck | Health::Slow => self.store.commit_batches(&group),
        }
    }

    /// If the process dies at the next step, a part of the transaction that [`Disk::commit_next`] would make is done
    /// before, and never committed.
    pub fn half_commit(&mut self, most: usize, writes: usize) {
        if self.dies_at.is_none_or(|at| at > self.steps + 1) {
            return;
        }
        let group = self.pending.iter().take(most).flat_map(|batch| &batch.writes);
        let part: Vec<_> = group.take(writes).cloned().collect();
        self.store.undo(&part);
    }

    /// Answers a question from what is committed.
    pub fn read(&self, read: &Read) -> Reading {
        match self.health {
            Health::Broken => Reading::Failed,
            _ => self.store.read(read),
        }
    }

    /// What the store has of the calendar of leases.
    pub fn calendar(&self) -> KeptCalendar {
        self.store.calendar().unwrap_or_default()
    }

    /// Octets of the database, and those of them that are free for what comes next.
    pub fn octets(&self) -> (u64, u64) {
        self.store.octets()
    }

    /// The process is gone: what it had not committed is lost.
    pub fn abandon(&mut self) {
        self.pending.clear();
        self.dies_at = None;
    }

    /// The database becomes what the first release would have made of it, and is brought up to date again,
    /// as at the first start after an upgrade. What only later releases can hold is lost.
    pub fn upgrade_from_first(&mut self) {
        self.store.upgrade_from_first();
    }
}

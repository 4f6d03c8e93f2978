//! A simulated disk under a real store in memory: commits take time, a crash loses what was not
//! committed, and it can be full, slow or stuck.

use std::collections::VecDeque;

use crate::store::Store;
use crate::store::record::{Batch, Committed, Read, Reading};

/// How the disk does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    /// Well.
    #[default]
    Well,
    /// Full: nothing is committed, and the writer says so.
    Full,
    /// Broken: neither read nor written.
    Broken,
    /// Stuck: commits wait until it is well again.
    Stuck,
}

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
}

impl Disk {
    /// With an empty store.
    pub fn new(store: Store) -> Disk {
        Disk { store, pending: VecDeque::new(), told: 0, health: Health::Well, commit: (1, 8), read: (0, 2) }
    }

    /// Commits the oldest batch that waits.
    pub fn commit_next(&mut self) -> Option<Committed> {
        let batch = self.pending.pop_front()?;
        match self.health {
            Health::Full | Health::Broken => Some(Committed { number: batch.number, outcomes: None }),
            Health::Well | Health::Stuck => self.store.commit_batches(&[batch]).pop(),
        }
    }

    /// Answers a question from what is committed.
    pub fn read(&self, read: &Read) -> Reading {
        match self.health {
            Health::Broken => Reading::Failed,
            _ => self.store.read(read),
        }
    }
}

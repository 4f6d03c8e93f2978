//! Timers: a heap of moments with names.
//!
//! A timer is never cancelled: when it comes due its owner looks whether there is anything to do.
//! So an owner with steady traffic and a constant timeout needs one entry, not one per request: it arms
//! a timer for its oldest request, and arms the next when that one comes due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::clock::Tick;

/// Moments to come, each with the name of what is due then.
#[derive(Debug)]
pub struct Timers<K> {
    heap: BinaryHeap<Reverse<(Tick, K)>>,
}

impl<K: Ord> Default for Timers<K> {
    fn default() -> Self {
        Timers { heap: BinaryHeap::new() }
    }
}

impl<K: Ord> Timers<K> {
    /// Something is due at `at`.
    pub fn arm(&mut self, at: Tick, name: K) {
        self.heap.push(Reverse((at, name)));
    }

    /// The next thing that is due by `now`, earliest first; what is due at once comes in the order of names.
    pub fn due(&mut self, now: Tick) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, name))| name)
    }

    /// How many moments there are to come.
    pub fn size(&self) -> usize {
        self.heap.len()
    }

    /// When the next thing is due.
    pub fn next(&self) -> Option<Tick> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_in_order_and_not_before() {
        let mut timers = Timers::default();
        timers.arm(Tick::at(5), "b");
        timers.arm(Tick::at(3), "a");
        timers.arm(Tick::at(5), "a");
        assert_eq!(timers.due(Tick::at(2)), None);
        assert_eq!(timers.next(), Some(Tick::at(3)));
        let due: Vec<_> = std::iter::from_fn(|| timers.due(Tick::at(5))).collect();
        assert_eq!(due, ["a", "a", "b"]);
    }
}

//! What the simulator does to a store, to see how the server takes it. On a database in memory only: the server
//! never does any of this.

use rusqlite::TransactionBehavior;

use super::record::Write;
use super::{Store, migrate, write};

impl Store {
    /// Makes changes and takes them back, as if the process had died in the midst of their transaction.
    pub(crate) fn undo(&mut self, writes: &[Write]) {
        // Rolled back when dropped.
        let Ok(tx) = self.conn.transaction_with_behavior(TransactionBehavior::Immediate) else { return };
        for write in writes {
            if write::apply(&tx, &self.key, write).is_err() {
                return;
            }
        }
    }

    /// Does something while the database can't grow: what needs another page fails, as on a full disk.
    pub(crate) fn without_growing<T>(&mut self, work: impl FnOnce(&mut Store) -> T) -> T {
        let bound = |store: &Store, pages: i64| {
            // A bound below its size is raised to that.
            let _ = store.conn.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()));
        };
        bound(self, 1);
        let done = work(self);
        bound(self, i64::from(u32::MAX - 1));
        done
    }

    /// Octets of the database, and those of them that are free for what comes next.
    pub(crate) fn octets(&self) -> (u64, u64) {
        let of = |pragma| {
            self.conn.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).unwrap_or_default()
        };
        let page = of("page_size");
        ((of("page_count") * page) as u64, (of("freelist_count") * page) as u64)
    }

    /// Turns the database into one of the first schema, with all that it could hold, and brings it up to date again.
    ///
    /// # Panics
    /// If either can't be done.
    #[allow(clippy::expect_used)] // an instrument of tests
    pub(crate) fn upgrade_from_first(&mut self) {
        migrate::take_down_to_first(&mut self.conn).expect("the first schema");
        migrate::bring_up(&mut self.conn).expect("the present schema");
    }
}

//! The embedded store: the only user of rusqlite.

pub mod record;

//! The embedded store: accounts, credentials, presence, subscriptions, what waits for a login, rules
//! about peers. The only user of rusqlite.
//!
//! One [`Store`] per database changes it: the server's writer thread, or a command when no server runs.
//! It commits the batches of the node's ticks, many in one transaction ([`Store::commit_batches`]).
//! Any number of [`Reader`]s ask, each on a connection of its own, never kept waiting by a writer
//! (SQLite's WAL). Device keys are sealed under the [`KeyFile`], and a [`Lock`] keeps a second
//! server away. For the simulator a store lives in memory and is its own reader.

mod error;
mod key;
mod list;
mod lock;
mod migrate;
mod read;
pub mod record;
mod renew;
#[cfg(test)]
mod tests;
mod trial;
mod write;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::Date;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};
use subtle::ConstantTimeEq;

pub use error::{StoreError, Trouble};
pub use key::KeyFile;
pub use list::{Counts, KeyLabel, UserDetails, UserSummary};
pub use lock::Lock;
pub use migrate::VERSION;
use record::{Batch, Committed, KeptCalendar, Outcome, Read, Reading, Write};
pub use renew::renew_key;

/// The database's name in the data directory.
pub const DATABASE_FILE: &str = "hearth.db";
/// The key file's name in the data directory.
pub const KEY_FILE: &str = "hearth.key";
/// The lock file's name in the data directory.
pub const LOCK_FILE: &str = "hearth.lock";

/// How long a connection waits for another process's transaction: a command's takes milliseconds.
const BUSY: Duration = Duration::from_secs(5);
/// Room for every statement of reads and writes.
const STATEMENTS: usize = 64;
/// What is left of the write-ahead log after a checkpoint, bytes; a burst may make it longer.
const JOURNAL: u32 = 16 * 1024 * 1024;

/// Is there to be a database already?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// No: it is made, and one that is there is not touched.
    Create,
    /// Yes: it is brought up to date if need be.
    Open,
}

/// The database, to be changed.
#[derive(Debug)]
pub struct Store {
    conn: Connection,
    key: KeyFile,
    path: PathBuf,
}

impl Store {
    /// Opens the database file, or makes it (readable by its owner only). Takes the same few
    /// milliseconds whatever the file's size.
    ///
    /// # Errors
    /// What is wrong and what to do: see [`Trouble`].
    pub fn open(path: &Path, key: &KeyFile, mode: Mode) -> Result<Store, StoreError> {
        let opened = match mode {
            Mode::Create => Store::create_file(path, key),
            Mode::Open => Store::open_file(path, key),
        };
        let conn = opened.map_err(|t| t.at(path))?;
        Ok(Store { conn, key: key.clone(), path: path.to_owned() })
    }

    fn create_file(path: &Path, key: &KeyFile) -> Result<Connection, Trouble> {
        let file = create_private(path)?;
        give_to_owner_of_directory(&file, path);
        let make = || -> Result<Connection, Trouble> {
            let mut conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            migrate::create(&mut conn, &key.check())?;
            make_durable(&conn)?;
            sync_directory_of(path)?;
            Ok(conn)
        };
        make().inspect_err(|_| {
            // Ours, made above, and empty.
            let _ = std::fs::remove_file(path);
        })
    }

    fn open_file(path: &Path, key: &KeyFile) -> Result<Connection, Trouble> {
        if !path.try_exists()? {
            return Err(Trouble::Missing);
        }
        let mut conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // First of all this reads the file, so that a newer or foreign one is left as it is.
        migrate::bring_up(&mut conn)?;
        make_durable(&conn)?;
        require_key(&conn, key)?;
        Ok(conn)
    }

    /// A new, empty database that lives in memory, as long as the store does.
    ///
    /// # Errors
    /// None in practice.
    pub fn memory(key: &KeyFile) -> Result<Store, StoreError> {
        let path = PathBuf::from(":memory:");
        let open = || -> Result<Connection, Trouble> {
            let mut conn = Connection::open_in_memory()?;
            prepare(&conn)?;
            migrate::create(&mut conn, &key.check())?;
            Ok(conn)
        };
        let conn = open().map_err(|t| t.at(&path))?;
        Ok(Store { conn, key: key.clone(), path })
    }

    /// Commits the writes, all or none; they are durable when this returns.
    ///
    /// # Errors
    /// The database failed; nothing of it is kept. That a write has no effect (no such account, say)
    /// is its [`Outcome`], not an error.
    pub fn commit(&mut self, writes: &[Write]) -> Result<Vec<Outcome>, StoreError> {
        let batches = [writes];
        let outcomes = self.transact(&batches).map_err(|t| t.at(&self.path))?;
        Ok(outcomes.into_iter().flatten().collect())
    }

    /// Commits batches in one transaction: one wait for the disk for all of them. If that fails, each is
    /// tried by itself, so that one that can't be kept costs the others nothing; what could not be kept has
    /// no outcomes, and the cause is in the log.
    pub fn commit_batches(&mut self, batches: &[Batch]) -> Vec<Committed> {
        let writes: Vec<&[Write]> = batches.iter().map(|b| b.writes.as_slice()).collect();
        let each: Vec<Option<Vec<Outcome>>> = match self.transact(&writes) {
            Ok(outcomes) => outcomes.into_iter().map(Some).collect(),
            Err(_) if writes.len() > 1 => writes.iter().map(|w| self.transact_alone(w)).collect(),
            Err(trouble) => vec![self.not_kept(&trouble); writes.len()],
        };
        let numbers = batches.iter().map(|b| b.number);
        numbers.zip(each).map(|(number, outcomes)| Committed { number, outcomes }).collect()
    }

    fn transact_alone(&mut self, writes: &[Write]) -> Option<Vec<Outcome>> {
        match self.transact(&[writes]) {
            Ok(outcomes) => Some(outcomes.into_iter().flatten().collect()),
            Err(trouble) => self.not_kept(&trouble),
        }
    }

    fn not_kept(&self, trouble: &Trouble) -> Option<Vec<Outcome>> {
        log::error!("changes were not kept: {}", trouble.clone().at(&self.path));
        None
    }

    fn transact(&mut self, batches: &[&[Write]]) -> Result<Vec<Vec<Outcome>>, Trouble> {
        // Rolled back when dropped.
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let apply = |writes: &&[Write]| writes.iter().map(|w| write::apply(&tx, &self.key, w)).collect();
        let outcomes = batches.iter().map(apply).collect::<Result<Vec<_>, Trouble>>()?;
        tx.commit()?;
        Ok(outcomes)
    }

    /// What it has of the calendar of leases.
    ///
    /// # Errors
    /// The database failed.
    pub fn calendar(&self) -> Result<KeptCalendar, StoreError> {
        let ahead = "SELECT value FROM setting WHERE name = 'calendar'";
        let latest =
            "SELECT max(latest) FROM (SELECT max(expires) AS latest FROM inbound WHERE expires IS NOT NULL
                      UNION ALL SELECT max(expires) FROM outbound WHERE expires IS NOT NULL)";
        let read = || {
            let ahead = self.conn.query_row(ahead, [], |row| row.get(0)).optional()?;
            let latest: Option<i64> = self.conn.query_row(latest, [], |row| row.get(0))?;
            Ok(KeptCalendar { ahead: ahead.map_or(0, i64::from_be_bytes), latest: latest.map(Date) })
        };
        read().map_err(|e: rusqlite::Error| Trouble::from(e).at(&self.path))
    }

    /// Answers a question from the writer's own connection: for stores in memory and for commands.
    pub fn read(&self, read: &Read) -> Reading {
        read::answer(&self.conn, &self.key, read).unwrap_or_else(|trouble| {
            log::error!("a read failed: {}", trouble.at(&self.path));
            Reading::Failed
        })
    }
}

/// The database, to be asked: on a connection of its own that can't change it.
#[derive(Debug)]
pub struct Reader {
    conn: Connection,
    key: KeyFile,
    path: PathBuf,
}

impl Reader {
    /// Opens the database file, which a [`Store`] has made or brought up to date.
    ///
    /// # Errors
    /// What is wrong and what to do: see [`Trouble`].
    pub fn open(path: &Path, key: &KeyFile) -> Result<Reader, StoreError> {
        let open = || -> Result<Connection, Trouble> {
            if !path.try_exists()? {
                return Err(Trouble::Missing);
            }
            let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            migrate::require_current(&conn)?;
            require_key(&conn, key)?;
            Ok(conn)
        };
        let conn = open().map_err(|t| t.at(path))?;
        Ok(Reader { conn, key: key.clone(), path: path.to_owned() })
    }

    /// Answers a question, from one consistent state of the database.
    pub fn read(&self, read: &Read) -> Reading {
        self.or_failed(read::answer(&self.conn, &self.key, read))
    }

    /// Answers several, in order, from one state of the database. Cheaper than one by one: taking a state and
    /// leaving it costs as much as an answer.
    pub fn read_all(&self, reads: &[&Read]) -> Vec<Reading> {
        match reads {
            [one] => vec![self.read(one)],
            several => match read::Snapshot::take(&self.conn) {
                Ok(state) => {
                    let answer = |read: &&Read| self.or_failed(read::answer_in(&state, &self.key, read));
                    several.iter().map(answer).collect()
                }
                Err(_) => several.iter().map(|read| self.read(read)).collect(),
            },
        }
    }

    fn or_failed(&self, answer: Result<Reading, Trouble>) -> Reading {
        answer.unwrap_or_else(|trouble| {
            log::error!("a read failed: {}", trouble.at(&self.path));
            Reading::Failed
        })
    }

    /// Writes a copy of the database as of this moment, readable by its owner only, and on the disk when
    /// this returns. Neither a server that runs in another process nor its users are kept waiting. The
    /// key file is not in it. The copy gets its name only when it is whole.
    ///
    /// # Errors
    /// [`Trouble::Exists`] if there is such a file: nothing is overwritten. On any other failure no
    /// file is left behind.
    pub fn backup(&self, to: &Path) -> Result<(), StoreError> {
        // Holds the name until the whole copy takes its place.
        create_private(to).map_err(|e| Trouble::from(e).at(to))?;
        let mut partial = to.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let copied = self.copy_by_way_of(&partial, to);
        copied.map_err(|trouble| {
            let _ = std::fs::remove_file(to);
            trouble.at(to)
        })
    }

    fn copy_by_way_of(&self, partial: &Path, to: &Path) -> Result<(), Trouble> {
        let name = partial.to_str().ok_or(Trouble::Failed("the file's name is not UTF-8".into()))?;
        let file = create_private(partial)?;
        let copy = || -> Result<(), Trouble> {
            self.conn.execute("VACUUM INTO ?1", [name])?;
            file.sync_all()?;
            std::fs::rename(partial, to)?;
            sync_directory_of(to)?;
            Ok(())
        };
        copy().inspect_err(|_| {
            let _ = std::fs::remove_file(partial);
        })
    }
}

fn connect(path: &Path, access: OpenFlags) -> Result<Connection, Trouble> {
    let conn = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    prepare(&conn)?;
    Ok(conn)
}

/// What every connection needs.
fn prepare(conn: &Connection) -> Result<(), Trouble> {
    conn.busy_timeout(BUSY)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    // A statement is planned once, not anew for each value that is bound to it.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.pragma_update(None, "foreign_keys", true)?;
    // A database is data: nothing in its schema may call functions with side effects.
    conn.pragma_update(None, "trusted_schema", false)?;
    // What is sorted stays in memory: nothing of it is for /tmp, where the server may not write.
    conn.pragma_update(None, "temp_store", "memory")?;
    Ok(())
}

/// A commit is on the disk when it returns, and readers and writer don't wait for each other.
fn make_durable(conn: &Connection) -> Result<(), Trouble> {
    conn.pragma_update(None, "journal_mode", "wal")?;
    conn.pragma_update(None, "synchronous", "full")?;
    conn.pragma_update(None, "journal_size_limit", JOURNAL)?;
    // What is deleted is overwritten where that costs nothing extra.
    conn.pragma_update(None, "secure_delete", "fast")?;
    Ok(())
}

/// Was the database made with this key file?
fn require_key(conn: &Connection, key: &KeyFile) -> Result<(), Trouble> {
    let kept: Vec<u8> =
        conn.query_row("SELECT value FROM setting WHERE name = 'key check'", [], |row| row.get(0))?;
    if key.check().ct_eq(&kept).into() { Ok(()) } else { Err(Trouble::WrongKey) }
}

/// A new, empty file that only its owner can read: before there is anything in it.
fn create_private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// A new file that root has made in the data directory of the user that runs the server is that user's:
/// else `sudo hearth init` would leave a house that its server can't enter. Only for files just made by us:
/// what was there before may be a link to anything.
fn give_to_owner_of_directory(file: &File, path: &Path) {
    let give = || -> std::io::Result<()> {
        let directory = std::fs::metadata(directory_of(path))?;
        if file.metadata()?.uid() != directory.uid() {
            fchown(file, Some(directory.uid()), Some(directory.gid()))?;
        }
        Ok(())
    };
    // Anybody else than root may not, and need not: then it is the caller's own affair.
    let _ = give();
}

/// Makes a new file's name durable.
fn sync_directory_of(path: &Path) -> std::io::Result<()> {
    File::open(directory_of(path))?.sync_all()
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

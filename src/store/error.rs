//! What can go wrong with the files: said in one line, with what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// A trouble with one of the files of the data directory. Its `Display` is one line for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError {
    /// What is wrong.
    pub trouble: Trouble,
    /// With which file.
    pub path: PathBuf,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// There is no database.
    Missing,
    /// There is a file already where one was to be made.
    Exists,
    /// The file is something else.
    NotOurs,
    /// The database was made by a later version of the program.
    Newer {
        /// Its schema's version.
        found: u32,
        /// The latest one that is known here.
        known: u32,
    },
    /// The database must be brought up to date before it can be read.
    Older {
        /// Its schema's version.
        found: u32,
        /// The version that is needed.
        known: u32,
    },
    /// The database holds what can't be; or the disk does not give back what was written.
    Damaged(String),
    /// The key file is not the one that the database was made with.
    WrongKey,
    /// The disk did not do what it was told.
    Disk(String),
    /// The disk (or the quota) is full.
    Full,
    /// The file can't be read or written.
    Denied(String),
    /// Another program keeps the database locked.
    Busy,
    /// A server has the data directory.
    Running {
        /// Its process, if it is known.
        process: Option<u32>,
    },
    /// A command is changing the database right now.
    CommandAtWork,
    /// There is no key file.
    KeyMissing,
    /// Others than its owner may read or write the key file.
    KeyExposed {
        /// Its permission bits.
        mode: u32,
    },
    /// The key file holds something else.
    KeyMalformed,
    /// Anything else.
    Failed(String),
}

impl Trouble {
    /// With the file it is about.
    pub(super) fn at(self, path: &Path) -> StoreError {
        StoreError { trouble: self, path: path.to_owned() }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.trouble {
            Trouble::Missing => write!(f, "there is no database {path}: make one with 'hearth init'"),
            Trouble::Exists => write!(f, "{path} exists already: remove it, or choose another name"),
            Trouble::NotOurs => {
                write!(f, "{path} is not a hearth database: check 'data_dir', or restore a backup")
            }
            Trouble::Newer { found, known } => write!(
                f,
                "{path} has schema version {found} and this program knows {known} at most: \
                 install the newer hearth again"
            ),
            Trouble::Older { found, known } => write!(
                f,
                "{path} has schema version {found} and this program needs {known}: \
                 start 'hearth serve' to bring it up to date"
            ),
            Trouble::Damaged(what) => write!(f, "{path} is damaged ({what}): restore the last backup"),
            Trouble::WrongKey => {
                write!(
                    f,
                    "{path} was made with another key file: put its 'hearth.key' back, or see 'hearth user key renew'"
                )
            }
            Trouble::Disk(why) => {
                write!(f, "the disk failed under {path} ({why}): look into the system's log, check the disk")
            }
            Trouble::Full => write!(f, "there is no room left on the disk for {path}: free some space"),
            Trouble::Denied(why) => {
                write!(f, "{path} can't be used ({why}): check that it belongs to the user that runs hearth")
            }
            Trouble::Busy => write!(f, "{path} is kept locked by another program: end that one"),
            Trouble::Running { process: Some(process) } => {
                write!(f, "a server (process {process}) already runs here, it holds {path}: stop it first")
            }
            Trouble::Running { process: None } => {
                write!(f, "a server already runs here, it holds {path}: stop it first")
            }
            Trouble::CommandAtWork => {
                write!(f, "another hearth command is at work here, it holds {path}: try again in a moment")
            }
            Trouble::KeyMissing => {
                write!(
                    f,
                    "there is no key file {path}: put its copy back; if it is lost, see 'hearth user key renew'"
                )
            }
            Trouble::KeyExposed { mode } => {
                write!(f, "the key file {path} is open to others (mode {mode:04o}): run 'chmod 600 {path}'")
            }
            Trouble::KeyMalformed => write!(f, "{path} is not a hearth key file: put its copy back"),
            Trouble::Failed(what) => write!(f, "{path}: {what}"),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Trouble {
        let text = one_line(&error.to_string());
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Trouble::Full,
            Some(ErrorCode::NotADatabase) => Trouble::NotOurs,
            Some(ErrorCode::DatabaseCorrupt) => Trouble::Damaged(text),
            Some(ErrorCode::SystemIoFailure) => Trouble::Disk(text),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Trouble::Busy,
            Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {
                Trouble::Denied(text)
            }
            _ => match error {
                // A column holds what no column of ours does.
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::Utf8Error(..) => Trouble::Damaged(text),
                _ => Trouble::Failed(text),
            },
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        match error.kind() {
            io::ErrorKind::AlreadyExists => Trouble::Exists,
            io::ErrorKind::NotFound => {
                Trouble::Failed("its directory does not exist: make that first".into())
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Trouble::Full,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Trouble::Denied(one_line(&error.to_string()))
            }
            _ => Trouble::Failed(one_line(&error.to_string())),
        }
    }
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

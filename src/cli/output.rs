//! What commands say on stdout.
//!
//! A reader who has had enough (`| head`) is no failure; a disk that is full is one, and is told at the
//! end: what was said may have been a key that can't be had again.

use std::fmt;
use std::io::{Error, ErrorKind, Write, stderr, stdout};
use std::sync::Mutex;

use super::failure::{Done, Failure};

/// Why not all was written, if so.
static TROUBLE: Mutex<Option<Error>> = Mutex::new(None);

/// A line on stdout, formatted as `println!` does.
macro_rules! say {
    () => { $crate::cli::output::line(format_args!("")) };
    ($($what:tt)*) => { $crate::cli::output::line(format_args!($($what)*)) };
}

/// A line on stderr, formatted as `eprintln!` does; lost if nobody reads it.
macro_rules! complain {
    ($($what:tt)*) => { $crate::cli::output::complaint(format_args!($($what)*)) };
}

pub(super) use {complain, say};

/// Writes a line on stdout.
pub(super) fn line(what: fmt::Arguments<'_>) {
    if let Err(error) = writeln!(stdout().lock(), "{what}")
        && let Ok(mut trouble) = TROUBLE.lock()
    {
        trouble.get_or_insert(error);
    }
}

/// Writes a line on stderr.
pub(super) fn complaint(what: fmt::Arguments<'_>) {
    let _ = writeln!(stderr().lock(), "{what}");
}

/// Does it make sense to say more?
pub(super) fn is_read() -> bool {
    TROUBLE.lock().is_ok_and(|trouble| trouble.is_none())
}

/// Did all that was said arrive, as far as somebody wanted it?
pub(super) fn settle() -> Done {
    let trouble = TROUBLE.lock().ok().and_then(|mut trouble| trouble.take());
    match trouble {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("not all could be written to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

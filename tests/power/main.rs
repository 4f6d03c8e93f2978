//! Power loss: whatever was acknowledged is there afterwards, whatever was not is whole or absent.
//!
//! A process works on its files under a library that writes down what it does to them ([`trace`], `record.c`), and a
//! mark stands in that trace wherever something was acknowledged. Then the trace is gone through from its beginning: at
//! each point disks are made as a loss of power may leave them there ([`disk`]), of what was not synced nothing, all,
//! a part, the names without the octets, the octets without the names; the server's store is opened on each,
//! checked for integrity, and compared with what it must hold.
//!
//! `POWER_CHANCES=N` looks at N more random losses at each point.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cases;
mod disk;
mod driver;
mod trace;

use std::fs;
use std::path::{Path, PathBuf};

use disk::{Disk, Loss};
use rusqlite::{Connection, OpenFlags};
use trace::{Event, Recorder};

/// Random losses at each point.
const CHANCES: u64 = 1;

/// All that a database holds, in one number (FNV-1a); an error if it is not whole.
pub fn contents(database: &Path) -> Result<u64, String> {
    let words = |e: rusqlite::Error| e.to_string();
    let conn = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(words)?;
    contents_of(&conn).map_err(words)
}

/// The same of an open one.
pub fn contents_of(conn: &Connection) -> Result<u64, rusqlite::Error> {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut mix = |text: &str| {
        for octet in text.bytes().chain([0]) {
            hash = (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    let mut tables =
        conn.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'table' ORDER BY name")?;
    let tables: Vec<(String, String)> =
        tables.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    for (name, _) in tables {
        mix(&name);
        let mut rows = conn.prepare(&format!("SELECT * FROM {name}"))?;
        let columns = rows.column_count();
        let mut all: Vec<String> = rows
            .query_map([], |row| (0..columns).map(|i| Ok(format!("{:?}", row.get_ref(i)?))).collect())?
            .collect::<Result<_, _>>()?;
        all.sort_unstable();
        all.iter().for_each(|row| mix(row));
    }
    Ok(hash)
}

/// Is the database whole?
pub fn check_integrity(database: &Path) {
    let conn = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a database");
    let said: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a check");
    assert_eq!(said, "ok");
    assert!(!conn.prepare("PRAGMA foreign_key_check").unwrap().exists([]).unwrap(), "rows without owners");
}

/// A place for the files of a test, in memory where there is such a place: nothing here needs a real disk.
pub fn room() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a folder")
}

/// What has been acknowledged at a point of a trace, and what has been begun.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// The marks `begin WHAT` so far.
    pub begun: Vec<String>,
    /// The marks `done WHAT` so far.
    pub done: Vec<String>,
}

/// Goes through a trace: calls `judge` with each disk that a power loss may leave, in a folder that takes the place of
/// the recorded one. Gives the number of disks.
pub fn at_each_point(
    recorder: &Recorder,
    mut disk: Disk,
    mut judge: impl FnMut(&Path, &Progress, &str),
) -> usize {
    let chances = std::env::var("POWER_CHANCES").ok().and_then(|n| n.parse().ok()).unwrap_or(CHANCES);
    let (mut progress, mut count) = (Progress::default(), 0);
    let place = room();
    let events = recorder.events();
    for (at, event) in events.iter().enumerate() {
        if let Event::Mark { text } = event {
            let (what, of) = text.split_once(' ').expect("a mark of two words");
            match what {
                "begin" => progress.begun.push(of.to_owned()),
                _ => progress.done.push(of.to_owned()),
            }
        }
        let changed = disk.happen(event);
        // What is acknowledged is looked at where it is; else only where the disk is another one.
        if !changed && !matches!(event, Event::Mark { text } if text.starts_with("done")) {
            continue;
        }
        let written = matches!(event, Event::Write { .. } | Event::Truncate { .. });
        let by_chance = (0..chances).map(|n| Loss::Some(at as u64 * 1000 + n));
        for loss in [Loss::Everything, Loss::Nothing, Loss::Tail, Loss::Names, Loss::Octets]
            .into_iter()
            .chain(by_chance)
        {
            let again = match loss {
                // A write that is lost leaves what was left before it.
                Loss::Everything => written,
                _ if disk.is_sure() => true,
                // Without names that are not sure, the same as everything or nothing.
                Loss::Names | Loss::Octets => disk.names_are_sure(),
                Loss::Tail => !written,
                Loss::Nothing | Loss::Some(_) => false,
            };
            if again {
                continue;
            }
            let to = place.path().join("left");
            fs::create_dir(&to).expect("a folder");
            disk.leave(loss, &recorder.folder, &to);
            let what = format!("{loss:?} is lost at event {at} of {}: {event:.120?}", events.len());
            judge(&to, &progress, &what);
            fs::remove_dir_all(&to).expect("cleared");
            count += 1;
        }
    }
    count
}

/// Where a trace and its folder are.
pub struct Stage {
    _place: tempfile::TempDir,
    /// What writes it down.
    pub recorder: Recorder,
    /// The recorded folder.
    pub folder: PathBuf,
}

impl Stage {
    /// An empty folder, not yet recorded.
    pub fn empty() -> Stage {
        let place = room();
        let path = place.path().canonicalize().expect("a path");
        let folder = path.join("folder");
        fs::create_dir(&folder).expect("a folder");
        Stage { recorder: Recorder::new(&path, &folder), folder, _place: place }
    }
}

//! What a process did to its files, as `record.c` has written it down.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One thing that was done, in the order in which it was.
#[derive(Debug, Clone)]
pub enum Event {
    /// A new file of this inode got this name.
    Create { inode: u64, path: String },
    /// The file has this length now.
    Truncate { inode: u64, length: u64 },
    /// Octets were written.
    Write { inode: u64, offset: u64, data: Vec<u8> },
    /// The file is on the disk.
    Sync { inode: u64 },
    /// The folder's entries are on the disk.
    SyncFolder { path: String },
    /// A name is gone.
    Remove { path: String },
    /// A name stands for what another stood for.
    Rename { from: String, to: String },
    /// A new folder.
    Folder { path: String },
    /// A driver's mark.
    Mark { text: String },
}

/// The library that records, and where to.
pub struct Recorder {
    library: PathBuf,
    /// The file that the trace is in.
    pub trace: PathBuf,
    /// The folder that is looked at.
    pub folder: PathBuf,
}

impl Recorder {
    /// Builds the library in `place`, beside the folder.
    pub fn new(place: &Path, folder: &Path) -> Recorder {
        let library = place.join("record.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/power/record.c");
        let built = Command::new("cc")
            .args(["-O2", "-shared", "-fPIC", "-fno-builtin", "-o"])
            .arg(&library)
            .args([source, "-ldl"])
            .status();
        assert!(built.expect("a C compiler").success(), "record.c is built");
        Recorder { library, trace: place.join("trace"), folder: folder.to_owned() }
    }

    /// Has a command's process recorded.
    pub fn watch<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("LD_PRELOAD", &self.library)
            .env("POWER_FOLDER", &self.folder)
            .env("POWER_TRACE", &self.trace)
    }

    /// Writes a mark into the trace, behind all that was done so far.
    pub fn mark(&self, text: &str) {
        mark(&self.trace, text);
    }

    /// All that was recorded.
    pub fn events(&self) -> Vec<Event> {
        read(&fs::read(&self.trace).expect("a trace"))
    }
}

/// Writes a mark into a trace.
pub fn mark(trace: &Path, text: &str) {
    use std::io::Write;
    let mut record = vec![b'A'];
    for number in [0, 0, 0, text.len() as u64] {
        record.extend(number.to_ne_bytes());
    }
    record.extend(text.as_bytes());
    let mut file = fs::File::options().append(true).create(true).open(trace).expect("the trace");
    file.write_all(&record).expect("a mark");
}

fn read(mut octets: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some((&kind, rest)) = octets.split_first() {
        let number = |at: usize| u64::from_ne_bytes(rest[8 * at..8 * at + 8].try_into().expect("8 octets"));
        let (inode, offset, path, length) = (number(0), number(1), number(2) as usize, number(3) as usize);
        let (path, rest) = rest[32..].split_at(path);
        let (data, rest) = rest.split_at(length);
        octets = rest;
        let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).expect("text");
        let (path, data) = (text(path), data.to_vec());
        events.push(match kind {
            b'C' => Event::Create { inode, path },
            b'T' => Event::Truncate { inode, length: offset },
            b'W' => Event::Write { inode, offset, data },
            b'S' => Event::Sync { inode },
            b'D' => Event::SyncFolder { path },
            b'U' => Event::Remove { path },
            b'R' => Event::Rename { from: path, to: text(&data) },
            b'M' => Event::Folder { path },
            b'A' => Event::Mark { text: text(&data) },
            other => panic!("{} by {:?} of {path} is not foreseen", text(&data), char::from(other)),
        });
    }
    events
}

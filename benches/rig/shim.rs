//! The library that counts a server's calls and slows its disk: built by `cc` when it is needed.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Failure;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/rig/shim.c");
const WORDS: usize = 6;

/// The built library and the file through which it is talked to.
pub struct Shim {
    library: PathBuf,
    words: PathBuf,
    file: File,
}

/// What a process has asked for so far.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    /// Calls of `malloc`, `calloc`, `realloc`.
    pub allocations: u64,
    /// System calls that read.
    pub reads: u64,
    /// System calls that write.
    pub writes: u64,
    /// Waits for readiness.
    pub polls: u64,
    /// `fsync` and `fdatasync`.
    pub syncs: u64,
}

impl Counts {
    /// What was asked for since `earlier`.
    pub fn since(self, earlier: Counts) -> Counts {
        Counts {
            allocations: self.allocations - earlier.allocations,
            reads: self.reads - earlier.reads,
            writes: self.writes - earlier.writes,
            polls: self.polls - earlier.polls,
            syncs: self.syncs - earlier.syncs,
        }
    }
}

/// For a report: calls of one of so many operations.
pub fn each(counts: Counts, operations: u64) -> String {
    let each = |count: u64| count as f64 / operations as f64;
    let Counts { allocations, reads, writes, polls, .. } = counts;
    format!(
        "{:.3} allocations, {:.2} reads, {:.2} writes, {:.2} polls",
        each(allocations),
        each(reads),
        each(writes),
        each(polls)
    )
}

impl Shim {
    /// Builds it in a directory.
    ///
    /// # Errors
    /// If there is no C compiler.
    pub fn build(dir: &Path) -> Result<Shim, Failure> {
        let (library, words) = (dir.join("shim.so"), dir.join("shim.words"));
        let status = Command::new("cc")
            .args(["-O2", "-shared", "-fPIC", "-fno-builtin", "-o"])
            .arg(&library)
            .args([SOURCE, "-ldl"])
            .status()
            .map_err(|e| Failure(format!("cannot run cc: {e}")))?;
        if !status.success() {
            return Err(Failure("cc could not build shim.c".into()));
        }
        fs::write(&words, [0; 8 * WORDS])?;
        let file = File::options().read(true).write(true).open(&words)?;
        Ok(Shim { library, words, file })
    }

    /// Has the command's process load it.
    pub fn load(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("LOAD_SHIM", &self.words);
    }

    /// Delays every `fsync` from now on.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn delay_syncs(&self, milliseconds: u64) -> Result<(), Failure> {
        Ok(self.file.write_all_at(&milliseconds.to_ne_bytes(), 0)?)
    }

    /// What has been counted.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn counts(&self) -> Result<Counts, Failure> {
        let mut octets = [0; 8 * WORDS];
        self.file.read_exact_at(&mut octets, 0)?;
        let word = |at: usize| u64::from_ne_bytes(std::array::from_fn(|i| octets[8 * at + i]));
        Ok(Counts { allocations: word(1), reads: word(2), writes: word(3), polls: word(4), syncs: word(5) })
    }
}

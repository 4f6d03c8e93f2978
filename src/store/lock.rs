//! Who has the data directory: one server, or commands that change the database without one.
//!
//! The operating system holds the lock on `hearth.lock` and drops it with the process, however that
//! ends. A server holds it alone, commands share it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::error::{StoreError, Trouble};

/// The hold on a data directory; released when dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// For a server: alone.
    ///
    /// # Errors
    /// At once, [`Trouble::Running`] if another server has it, [`Trouble::CommandAtWork`] if commands
    /// have it, which goes by.
    pub fn serve(data_dir: &Path) -> Result<Lock, StoreError> {
        let (path, mut file) = open(data_dir)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(Trouble::from(error).at(&path)),
            Err(TryLockError::WouldBlock) => {
                return Err(match file.try_lock_shared() {
                    Ok(()) => Trouble::CommandAtWork,
                    Err(_) => Trouble::Running { process: process(&mut file) },
                }
                .at(&path));
            }
        }
        // For the messages of others only; the lock itself is what counts.
        note_process(&mut file).map_err(|e| Trouble::from(e).at(&path))?;
        Ok(Lock { _file: file })
    }

    /// For a command that changes the database: together with others like it. Not to be held while
    /// waiting for somebody to type.
    ///
    /// # Errors
    /// At once, [`Trouble::Running`] if a server has it: then its control socket is the way.
    pub fn command(data_dir: &Path) -> Result<Lock, StoreError> {
        let (path, mut file) = open(data_dir)?;
        match file.try_lock_shared() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::Error(error)) => Err(Trouble::from(error).at(&path)),
            Err(TryLockError::WouldBlock) => Err(Trouble::Running { process: process(&mut file) }.at(&path)),
        }
    }

    /// Does a server have it?
    ///
    /// # Errors
    /// If that can't be told.
    pub fn is_serving(data_dir: &Path) -> Result<bool, StoreError> {
        match Lock::command(data_dir) {
            Ok(_) => Ok(false),
            Err(StoreError { trouble: Trouble::Running { .. }, .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }
}

fn open(data_dir: &Path) -> Result<(PathBuf, File), StoreError> {
    let path = data_dir.join(super::LOCK_FILE);
    let opened = match super::create_private(&path) {
        Ok(file) => {
            super::give_to_owner_of_directory(&file, &path);
            Ok(file)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            OpenOptions::new().read(true).write(true).open(&path)
        }
        Err(error) => Err(error),
    };
    match opened {
        Ok(file) => Ok((path, file)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Trouble::Failed("there is no such directory: make it with 'hearth init'".into()).at(data_dir))
        }
        Err(error) => Err(Trouble::from(error).at(&path)),
    }
}

fn note_process(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    writeln!(file, "{}", std::process::id())
}

fn process(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_second_server_is_refused_at_once_and_told_whose_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let lock = Lock::serve(dir.path()).unwrap();
        let mine = Trouble::Running { process: Some(std::process::id()) };
        let error = Lock::serve(dir.path()).unwrap_err();
        assert_eq!(error.trouble, mine);
        assert!(error.to_string().contains("already runs"), "{error}");
        assert_eq!(Lock::command(dir.path()).unwrap_err().trouble, mine);
        assert!(Lock::is_serving(dir.path()).unwrap());
        drop(lock);
        assert!(!Lock::is_serving(dir.path()).unwrap());
        Lock::serve(dir.path()).unwrap();
    }

    #[test]
    fn commands_share_and_keep_a_server_out() {
        let dir = tempfile::tempdir().unwrap();
        let one = Lock::command(dir.path()).unwrap();
        let two = Lock::command(dir.path()).unwrap();
        drop(one);
        assert!(!Lock::is_serving(dir.path()).unwrap());
        assert_eq!(Lock::serve(dir.path()).unwrap_err().trouble, Trouble::CommandAtWork);
        // The refused server has left no lock of its own behind.
        drop(two);
        Lock::serve(dir.path()).unwrap();
    }

    /// Not a test, and nothing without the variable: what the next one runs as another process.
    #[test]
    fn hold_for_another_process() {
        let Some(dir) = std::env::var_os("HEARTH_TEST_LOCK") else { return };
        let _lock = Lock::serve(Path::new(&dir)).unwrap();
        println!("\nheld");
        // Until it is killed, or its parent is gone.
        let _ = std::io::stdin().read(&mut [0]);
    }

    #[test]
    fn the_lock_goes_with_the_process_however_that_ends() {
        use std::io::{BufRead, BufReader};
        use std::process::{Command, Stdio};
        let dir = tempfile::tempdir().unwrap();
        let mut other = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::lock::tests::hold_for_another_process", "--nocapture"])
            .env("HEARTH_TEST_LOCK", dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(other.stdout.take().unwrap()).lines();
        assert!(lines.map(Result::unwrap).any(|line| line == "held"));
        let error = Lock::serve(dir.path()).unwrap_err();
        assert_eq!(error.trouble, Trouble::Running { process: Some(other.id()) });
        other.kill().unwrap();
        other.wait().unwrap();
        Lock::serve(dir.path()).unwrap();
    }

    #[test]
    fn the_lock_file_is_the_owners_own() {
        let dir = tempfile::tempdir().unwrap();
        Lock::command(dir.path()).unwrap();
        let mode = std::fs::metadata(dir.path().join(crate::store::LOCK_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let error = Lock::serve(&dir.path().join("none")).unwrap_err();
        assert!(error.to_string().contains("hearth init"), "{error}");
    }
}

//! Files that are made together: all of them, or none.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::cli::failure::{Done, Failure};

/// What was made so far; removed again when dropped before [`keep`](NewFiles::keep).
#[derive(Debug, Default)]
pub(super) struct NewFiles {
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

impl NewFiles {
    /// Makes a folder, with those above it, unless it exists.
    pub(super) fn folder(&mut self, path: &Path, mode: u32) -> Done {
        let missing: Vec<&Path> =
            path.ancestors().take_while(|p| !p.as_os_str().is_empty() && !p.exists()).collect();
        for folder in missing.into_iter().rev() {
            let made = DirBuilder::new().mode(mode).create(folder);
            made.map_err(|error| Failure::new(format!("{}: cannot be made: {error}", folder.display())))?;
            self.folders.push(folder.to_owned());
        }
        Ok(())
    }

    /// Writes a new file.
    pub(super) fn file(&mut self, path: &Path, content: &[u8], mode: u32) -> Done {
        let open = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
        let mut file = open.map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => exists(path),
            _ => Failure::new(format!("{}: cannot be written: {error}", path.display())),
        })?;
        self.files.push(path.to_owned());
        file.write_all(content)
            .and_then(|()| file.sync_all())
            .map_err(|error| Failure::new(format!("{}: cannot be written: {error}", path.display())))
    }

    /// Takes over a file that somebody else is about to make.
    pub(super) fn claim(&mut self, path: &Path) -> Done {
        if path.symlink_metadata().is_ok() {
            return Err(exists(path));
        }
        self.files.push(path.to_owned());
        Ok(())
    }

    /// All is well: they stay, with their names, even if the power fails now.
    pub(super) fn keep(mut self) -> Done {
        let above = |path: &PathBuf| match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let folders: BTreeSet<PathBuf> = self.files.iter().chain(&self.folders).map(above).collect();
        for folder in folders {
            let synced = File::open(&folder).and_then(|folder| folder.sync_all());
            synced
                .map_err(|error| Failure::new(format!("{}: cannot be written: {error}", folder.display())))?;
        }
        self.files.clear();
        self.folders.clear();
        Ok(())
    }
}

fn exists(path: &Path) -> Failure {
    Failure::new(format!("{} exists already: choose another --dir, or move it away", path.display()))
}

impl Drop for NewFiles {
    fn drop(&mut self) {
        // What can't be removed is left: the failure that brought us here is what the operator reads.
        for file in self.files.drain(..).rev() {
            let _ = fs::remove_file(&file);
            // SQLite's companions of a database.
            for suffix in ["-wal", "-shm", "-journal"] {
                let mut name = file.clone().into_os_string();
                name.push(suffix);
                let _ = fs::remove_file(name);
            }
        }
        for folder in self.folders.drain(..).rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn half_a_server_is_taken_back() {
        let room = tempfile::tempdir().unwrap();
        let deep = room.path().join("a/b");
        let mut made = NewFiles::default();
        made.folder(&deep, 0o700).unwrap();
        made.file(&deep.join("hearth.toml"), b"x", 0o600).unwrap();
        made.claim(&deep.join("hearth.db")).unwrap();
        fs::write(deep.join("hearth.db"), "").unwrap();
        fs::write(deep.join("hearth.db-wal"), "").unwrap();
        drop(made);
        assert!(room.path().read_dir().unwrap().next().is_none());
    }

    #[test]
    fn what_was_there_before_stays() {
        let room = tempfile::tempdir().unwrap();
        let old = room.path().join("hearth.toml");
        fs::write(&old, "mine").unwrap();
        let mut made = NewFiles::default();
        made.folder(room.path(), 0o700).unwrap();
        assert!(made.file(&old, b"x", 0o600).unwrap_err().to_string().contains("exists already"));
        assert!(made.claim(&old).unwrap_err().to_string().contains("exists already"));
        drop(made);
        assert_eq!(fs::read_to_string(&old).unwrap(), "mine");
    }
}

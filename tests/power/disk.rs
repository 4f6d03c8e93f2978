//! A disk as a power loss finds it: what is sure to be on it, and what may be.
//!
//! What POSIX promises and no more: a file's octets and length are on the disk when the file has been synced, a name
//! when its folder has been. Of everything else any part may have got there, in any order, and a write in part.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hearth::sim::chance::Chance;

use crate::trace::Event;

/// A disk writes so much at once or not at all.
const SECTOR: u64 = 512;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thing {
    File(usize),
    Folder,
}

#[derive(Debug, Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

/// A file, whatever it is called.
#[derive(Debug, Default)]
struct File {
    sure: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Naming {
    Put(String, Thing),
    Remove(String),
    Move(String, String, Thing),
}

/// What of that which is not sure has got to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Nothing.
    Everything,
    /// All of it.
    Nothing,
    /// All of it, but of the last write only the first half of its sectors.
    Tail,
    /// All that was written, but no names.
    Names,
    /// All names, but nothing that was written.
    Octets,
    /// Some of it, by chance.
    Some(u64),
}

/// The disk.
#[derive(Debug, Default)]
pub struct Disk {
    files: Vec<File>,
    /// By inode: the file that it is of now.
    inodes: BTreeMap<u64, usize>,
    /// As the process sees them.
    names: BTreeMap<String, Thing>,
    /// As they are sure to be.
    sure: BTreeMap<String, Thing>,
    /// What has been done to names of a folder and is not sure, in order.
    pending: Vec<Naming>,
    /// The file written last.
    last: Option<usize>,
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn apply(octets: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(offset, data) => {
            let end = *offset as usize + data.len();
            octets.resize(octets.len().max(end), 0);
            octets[*offset as usize..end].copy_from_slice(data);
        }
        Change::Truncate(length) => octets.resize(*length as usize, 0),
    }
}

fn rename(names: &mut BTreeMap<String, Thing>, naming: &Naming) {
    match naming {
        Naming::Put(path, thing) => drop(names.insert(path.clone(), *thing)),
        Naming::Remove(path) => drop(names.remove(path)),
        Naming::Move(from, to, thing) => {
            names.remove(from);
            names.insert(to.clone(), *thing);
        }
    }
}

impl Disk {
    /// One with what is in a folder already, all of it sure.
    pub fn of(root: &Path) -> Disk {
        use std::os::unix::fs::MetadataExt;
        let mut disk = Disk::default();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                let name = path.to_str().expect("a name").to_owned();
                if path.is_dir() {
                    disk.sure.insert(name, Thing::Folder);
                    folders.push(path);
                } else {
                    disk.files.push(File { sure: fs::read(&path).expect("a file"), pending: Vec::new() });
                    let file = disk.files.len() - 1;
                    disk.inodes.insert(fs::metadata(&path).expect("a file").ino(), file);
                    disk.sure.insert(name, Thing::File(file));
                }
            }
        }
        disk.names = disk.sure.clone();
        disk
    }

    /// Something is done to it. True if it changes what a power loss may leave.
    pub fn happen(&mut self, event: &Event) -> bool {
        match event {
            Event::Create { inode, path } => {
                self.files.push(File::default());
                let file = self.files.len() - 1;
                self.inodes.insert(*inode, file);
                self.name(Naming::Put(path.clone(), Thing::File(file)));
            }
            Event::Folder { path } => self.name(Naming::Put(path.clone(), Thing::Folder)),
            Event::Remove { path } => self.name(Naming::Remove(path.clone())),
            Event::Rename { from, to } => {
                let Some(thing) = self.names.get(from).copied() else { return false };
                self.name(Naming::Move(from.clone(), to.clone(), thing));
            }
            Event::Write { inode, offset, data } => self.change(*inode, Change::Write(*offset, data.clone())),
            Event::Truncate { inode, length } => self.change(*inode, Change::Truncate(*length)),
            Event::Sync { inode } => {
                if let Some(&file) = self.inodes.get(inode) {
                    let file = &mut self.files[file];
                    for change in std::mem::take(&mut file.pending) {
                        apply(&mut file.sure, &change);
                    }
                }
            }
            Event::SyncFolder { path } => {
                let within = |naming: &Naming| match naming {
                    Naming::Put(name, _) | Naming::Remove(name) | Naming::Move(name, ..) => {
                        folder_of(name) == path
                    }
                };
                for naming in self.pending.extract_if(.., |naming| within(naming)) {
                    rename(&mut self.sure, &naming);
                }
            }
            Event::Mark { .. } => return false,
        }
        true
    }

    fn name(&mut self, naming: Naming) {
        rename(&mut self.names, &naming);
        self.pending.push(naming);
    }

    fn change(&mut self, inode: u64, change: Change) {
        if let Some(&file) = self.inodes.get(&inode) {
            self.files[file].pending.push(change);
            self.last = Some(file);
        }
    }

    /// Is all sure, so that every loss leaves the same?
    pub fn is_sure(&self) -> bool {
        self.pending.is_empty()
            && self.names.values().all(|thing| match thing {
                Thing::File(file) => self.files[*file].pending.is_empty(),
                Thing::Folder => true,
            })
    }

    /// Are all names sure?
    pub fn names_are_sure(&self) -> bool {
        self.pending.is_empty()
    }

    /// Writes what a loss of power leaves below `root` to a folder of its own.
    pub fn leave(&self, loss: Loss, root: &Path, to: &Path) {
        let mut chance = Chance::new(match loss {
            Loss::Some(seed) => seed,
            _ => 0,
        });
        let mut names = self.sure.clone();
        for naming in &self.pending {
            let there = match loss {
                Loss::Everything | Loss::Names => false,
                Loss::Nothing | Loss::Tail | Loss::Octets => true,
                Loss::Some(_) => chance.percent(50),
            };
            if there {
                rename(&mut names, naming);
            }
        }
        let root = root.to_str().expect("a name");
        let is_there = |path: &str| {
            let mut above = folder_of(path);
            while above.len() > root.len() {
                if names.get(above) != Some(&Thing::Folder) {
                    return false;
                }
                above = folder_of(above);
            }
            true
        };
        // Folders come before what is in them, by the order of their names.
        for (path, thing) in names.iter().filter(|(path, _)| is_there(path)) {
            let place = to.join(path[root.len()..].trim_start_matches('/'));
            match thing {
                Thing::Folder => fs::create_dir_all(&place).expect("a folder"),
                Thing::File(file) => {
                    let octets = self.octets(*file, loss, &mut chance);
                    fs::write(&place, octets).expect("a file");
                    private(&place);
                }
            }
        }
    }

    fn octets(&self, file: usize, loss: Loss, chance: &mut Chance) -> Vec<u8> {
        let File { sure, pending } = &self.files[file];
        let mut octets = sure.clone();
        for (at, change) in pending.iter().enumerate() {
            let last = at + 1 == pending.len();
            match loss {
                Loss::Everything | Loss::Octets => {}
                Loss::Nothing | Loss::Names => apply(&mut octets, change),
                Loss::Tail if last && self.last == Some(file) => apply(&mut octets, &torn(change, 1, 2)),
                Loss::Tail => apply(&mut octets, change),
                Loss::Some(_) => match chance.between(0, 5) {
                    0 | 1 => {}
                    2 => apply(&mut octets, &torn(change, chance.between(0, 8), 8)),
                    _ => apply(&mut octets, change),
                },
            }
        }
        octets
    }
}

/// The first sectors of a write, about so many parts of `of`.
fn torn(change: &Change, parts: u64, of: u64) -> Change {
    match change {
        Change::Write(offset, data) => {
            let end = offset + data.len() as u64 * parts / of;
            let end = (end / SECTOR * SECTOR).clamp(*offset, offset + data.len() as u64);
            Change::Write(*offset, data[..(end - offset) as usize].to_vec())
        }
        other => other.clone(),
    }
}

/// As the server makes its files.
fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("permissions");
}

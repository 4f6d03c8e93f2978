//! What is recorded, and what must be left of it.

use std::fs;
use std::path::Path;
use std::process::Command;

use hearth::store::{DATABASE_FILE, KEY_FILE, KeyFile, Lock};
use rusqlite::Connection;

use crate::disk::Disk;
use crate::driver::{self, open_left};
use crate::{Stage, at_each_point, contents};

/// Runs the program, recorded, and waits for it.
fn hearth(stage: &Stage, args: &[&str], stdin: &str) {
    use std::io::Write;
    let mut command = Command::new(env!("CARGO_BIN_EXE_hearth"));
    command.args(args).current_dir(&stage.folder).env_remove("HEARTH_CONFIG");
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
    let mut child = stage.recorder.watch(&mut command).spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{args:?}");
}

/// What the database holds, without touching it: a copy is looked at.
fn contents_now(folder: &Path) -> u64 {
    let copy = crate::room();
    for name in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if name.file_name().unwrap().to_str().unwrap().starts_with(DATABASE_FILE) {
            fs::copy(&name, copy.path().join(name.file_name().unwrap())).unwrap();
        }
    }
    contents(&copy.path().join(DATABASE_FILE)).unwrap()
}

// design 3, 11: an answer that promises something durable leaves only after its batch is committed
#[test]
fn what_the_store_has_committed_survives_a_power_loss() {
    let stage = Stage::empty();
    let states = driver::run(&stage.recorder, "store");
    let count = at_each_point(&stage.recorder, Disk::default(), |left, progress, what| {
        if progress.done.is_empty() {
            // The house is not founded: it may be there or not, but not by half and unnoticed.
            if let Ok(state) = open_left(left) {
                assert_eq!(state, states[0], "{what}");
            }
            return;
        }
        let state = open_left(left).unwrap_or_else(|e| panic!("{what}: {e}"));
        let (done, begun) = (progress.done.len() - 1, progress.begun.len());
        let found = states[done..=begun].contains(&state);
        assert!(found, "{what}: not what it was after batch {done} to {begun}");
    });
    println!("{count} disks");
}

#[test]
fn a_house_that_is_founded_stays() {
    for dir in [&["--dir", "house"][..], &["--dir", "deep/house", "--data-dir", "deep/data", "--dev"]] {
        let stage = Stage::empty();
        hearth(&stage, &[&["init", "--domain", "a.test"], dir].concat(), "");
        stage.recorder.mark("done init");
        let data = dir.get(3).unwrap_or(&dir[1]);
        let state = contents_now(&stage.folder.join(data));
        let config = fs::read(stage.folder.join(dir[1]).join("hearth.toml")).unwrap();
        at_each_point(&stage.recorder, Disk::default(), |left, progress, what| {
            let opened = open_left(&left.join(data));
            if progress.done.is_empty() {
                assert!(opened.is_err() || opened == Ok(state), "{what}: {opened:?}");
                return;
            }
            assert_eq!(opened, Ok(state), "{what}");
            let kept = fs::read(left.join(dir[1]).join("hearth.toml"));
            assert_eq!(kept.ok().as_ref(), Some(&config), "{what}");
            if dir.contains(&"--dev") {
                let kept = |path: &Path| {
                    let names = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
                    names
                        .filter(|p| p.extension().is_some_and(|e| e == "pem"))
                        .map(|p| fs::read(p).unwrap())
                        .collect::<Vec<_>>()
                };
                let (mut was, mut is) = (kept(&stage.folder.join(dir[1])), kept(&left.join(dir[1])));
                was.sort();
                is.sort();
                assert_eq!(is, was, "{what}");
            }
        });
    }
}

/// A house, and what its commands do, each of them acknowledged by its exit status.
fn commands(stage: &Stage, all: &[(&[&str], &str)]) -> Vec<u64> {
    let mut states = vec![contents_now(&stage.folder)];
    for (args, stdin) in all {
        stage.recorder.mark(&format!("begin {}", args.join(" ")));
        hearth(stage, args, stdin);
        stage.recorder.mark(&format!("done {}", args.join(" ")));
        states.push(contents_now(&stage.folder));
    }
    states
}

fn founded() -> (Stage, Disk) {
    let stage = Stage::empty();
    hearth(&stage, &["init", "--domain", "a.test"], "");
    fs::remove_file(&stage.recorder.trace).unwrap();
    let disk = Disk::of(&stage.folder);
    (stage, disk)
}

#[test]
fn what_a_command_has_done_survives_a_power_loss() {
    let (stage, disk) = founded();
    let states = commands(
        &stage,
        &[
            (&["user", "add", "ana", "--password-stdin"], "correct horse\n"),
            (&["user", "key", "add", "ana", "phone"], ""),
            (&["user", "passwd", "ana", "--password-stdin"], "another horse\n"),
            (&["user", "lock", "ana"], ""),
            (&["peer", "deny", "b.test"], ""),
            (&["user", "del", "ana"], ""),
        ],
    );
    at_each_point(&stage.recorder, disk, |left, progress, what| {
        let state = open_left(left).unwrap_or_else(|e| panic!("{what}: {e}"));
        let (done, begun) = (progress.done.len(), progress.begun.len());
        assert!(states[done..=begun].contains(&state), "{what}: not what it was after {:?}", progress.done);
    });
}

#[test]
fn a_backup_that_is_made_is_there_and_whole() {
    let (stage, disk) = founded();
    hearth(&stage, &["user", "add", "ana", "--password-stdin"], "correct horse\n");
    stage.recorder.mark("begin backup");
    hearth(&stage, &["backup", "copy.db"], "");
    stage.recorder.mark("done backup");
    let state = contents_now(&stage.folder);
    at_each_point(&stage.recorder, disk, |left, progress, what| {
        let copy = left.join("copy.db");
        if progress.done.is_empty() {
            // Until then its name is held by an empty file at most.
            let whole =
                |copy: &Path| fs::metadata(copy).is_ok_and(|m| m.len() == 0) || contents(copy) == Ok(state);
            assert!(!copy.exists() || whole(&copy), "{what}: half a backup");
            return;
        }
        crate::check_integrity(&copy);
        assert_eq!(contents(&copy), Ok(state), "{what}");
    });
}

#[test]
fn a_new_key_file_can_be_made_again_whenever_it_is_cut_short() {
    let (stage, disk) = founded();
    hearth(&stage, &["user", "add", "ana", "--password-stdin"], "correct horse\n");
    hearth(&stage, &["user", "key", "add", "ana", "phone"], "");
    stage.recorder.mark("begin renewal");
    hearth(&stage, &["user", "key", "renew"], "");
    stage.recorder.mark("done renewal");
    at_each_point(&stage.recorder, disk, |left, progress, what| {
        if !progress.done.is_empty() {
            open_left(left).unwrap_or_else(|e| panic!("{what}: {e}"));
        } else if !progress.begun.is_empty() && open_left(left).is_err() {
            hearth::store::renew_key(left, [9; 32]).unwrap_or_else(|e| panic!("{what}: {e}"));
            open_left(left).unwrap_or_else(|e| panic!("{what}, and renewed: {e}"));
        }
    });
}

#[test]
fn a_database_of_the_first_release_is_brought_up_to_date_or_left_as_it_was() {
    let stage = Stage::empty();
    let key = KeyFile::create(&stage.folder.join(KEY_FILE), [7; 32]).unwrap();
    let database = stage.folder.join(DATABASE_FILE);
    {
        let conn = Connection::open(&database).unwrap();
        conn.execute_batch("PRAGMA journal_mode = wal; BEGIN;").unwrap();
        conn.execute_batch(include_str!("../../schema/001-base.sql")).unwrap();
        let check = key.derive("key check");
        conn.execute("INSERT INTO setting VALUES ('key check', ?1)", [check]).unwrap();
        for account in 1..40 {
            conn.execute(
                "INSERT INTO account (id, address, made) VALUES (?1, ?1 || '@a.test', 5)",
                [account],
            )
            .unwrap();
            conn.execute(
                "INSERT INTO inbound (account, watcher, token, expires) VALUES (?1, 'x@b.test', 't', 9000000000000)",
                [account],
            )
            .unwrap();
            conn.execute(
                "INSERT INTO outbound (account, presentity, token, expires, automatic)
                 VALUES (?1, 'x@b.test', 't', 9000000000000, 0)",
                [account],
            )
            .unwrap();
        }
        conn.execute_batch("COMMIT; PRAGMA application_id = 0x68727468; PRAGMA user_version = 1;").unwrap();
    }
    let lock = Lock::command(&stage.folder).unwrap();
    drop(lock);
    let (before, disk) = (contents(&database).unwrap(), Disk::of(&stage.folder));
    driver::run(&stage.recorder, "upgrade");
    let after = contents_now(&stage.folder);
    assert_ne!(before, after);
    at_each_point(&stage.recorder, disk, |left, _, what| {
        // Whatever is left, opening it makes the step again, or finds it made.
        assert_eq!(open_left(left), Ok(after), "{what}");
    });
}

//! The store on disk: what a full or failing disk, a crash, a wrong file or key, and a backup do.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;

/// A database file with Alice.
fn on_disk() -> (TempDir, PathBuf, Store) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DATABASE_FILE);
    let mut store = Store::open(&path, &key(), Mode::Create).unwrap();
    done(&mut store, add(ALICE));
    (dir, path, store)
}

/// Fails when it is applied: no table has room for it.
fn too_large(store: &Store, id: AccountId) -> Write {
    let pages: i64 = store.conn.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    store.conn.pragma_update(None, "max_page_count", pages + 20).unwrap();
    Write::SetProfile { account: id, profile: vec![("big".into(), "x".repeat(1 << 20))] }
}

#[test]
fn a_full_disk_loses_its_own_batch_whole_and_no_other() {
    let (_dir, path, mut store) = on_disk();
    let id = account(&store, ALICE).unwrap().id;
    let large = too_large(&store, id);
    let error = store.commit(&[add(BOB), large.clone(), add("carol@example.org")]).unwrap_err();
    assert_eq!(error.trouble, Trouble::Full);
    assert!(error.to_string().contains("free some space"), "{error}");
    // Rolled back to before its first write.
    assert!(account(&store, BOB).is_none());

    let committed = store.commit_batches(&[
        batch(1, vec![add(BOB)]),
        batch(2, vec![add("carol@example.org"), large.clone()]),
        batch(3, vec![add("dan@example.org"), add(BOB)]),
    ]);
    let plain: Vec<_> = committed.into_iter().map(|c| (c.number, c.outcomes)).collect();
    let expected =
        [(1, Some(vec![Outcome::Done])), (2, None), (3, Some(vec![Outcome::Done, Outcome::Exists]))];
    assert_eq!(plain, expected);
    let alone = store.commit_batches(&[batch(4, vec![large])]);
    assert_eq!((alone[0].number, &alone[0].outcomes), (4, &None));
    drop(store);
    let store = Store::open(&path, &key(), Mode::Open).unwrap();
    let there = [BOB, "carol@example.org", "dan@example.org"].map(|a| account(&store, a).is_some());
    assert_eq!(there, [true, false, true]);
    assert_eq!(account(&store, ALICE).unwrap().profile, vec![]);
}

#[test]
fn what_was_committed_is_there_for_readers_and_after_opening_again() {
    let (_dir, path, mut store) = on_disk();
    let reader = Reader::open(&path, &key()).unwrap();
    let seen = |who: &str| matches!(reader.read(&Read::Account(address(who))), Reading::Account(Some(_)));
    assert!(seen(ALICE));
    assert!(!seen(BOB));
    done(&mut store, add(BOB));
    done(&mut store, add_key(BOB, "phone", "hush"));
    assert!(seen(BOB));
    let Reading::Credentials(Some(record)) = reader.read(&Read::Credentials(address(BOB))) else { panic!() };
    assert_eq!(record.keys[0].secret.expose(), "hush");
    // A reader can't change anything.
    assert!(reader.conn.execute("DELETE FROM account", []).is_err());
    // TOC-71, TOC-83: the list, its documents, and what lasts until it is ended.
    let bob = account(&store, BOB).unwrap().id;
    let list = vec![mapping(b"one"), mapping(&[0; 70_000])];
    done(&mut store, insert(bob, 1, list[1].clone()));
    done(&mut store, insert(bob, 1, list[0].clone()));
    let endless = Inbound { expires: None, named: true, ..inbound("K3x9", 0) };
    done(&mut store, Write::AddInbound { account: bob, inbound: endless.clone() });
    drop((reader, store));
    let store = Store::open(&path, &key(), Mode::Open).unwrap();
    let kept = account(&store, BOB).unwrap();
    assert_eq!((kept.mappings, kept.watched_by), (list, vec![endless]));
    let mode: String = store.conn.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    let full: i64 = store.conn.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
    assert_eq!((mode.as_str(), full), ("wal", 2));
}

#[test]
fn readers_see_the_last_commit_while_a_transaction_is_under_way() {
    let (_dir, path, store) = on_disk();
    let reader = Reader::open(&path, &key()).unwrap();
    store.conn.execute_batch("BEGIN IMMEDIATE; DELETE FROM account;").unwrap();
    let reading = reader.read(&Read::Account(address(ALICE)));
    assert!(matches!(reading, Reading::Account(Some(_))), "{reading:?}");
    store.conn.execute_batch("ROLLBACK").unwrap();
}

#[test]
fn files_are_the_owners_own() {
    let (dir, _path, mut store) = on_disk();
    done(&mut store, add(BOB));
    let mut seen = 0;
    for entry in fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
        seen += 1;
    }
    // The database, its log, and the log's index.
    assert_eq!(seen, 3);
}

#[test]
fn what_root_makes_in_a_users_directory_is_the_users() {
    use std::os::unix::fs::{MetadataExt, chown};
    let dir = tempfile::tempdir().unwrap();
    if chown(dir.path(), Some(4321), Some(4321)).is_err() {
        // Not root: the directory's owner makes the files.
        return;
    }
    let key = KeyFile::create(&dir.path().join(KEY_FILE), [1; 32]).unwrap();
    let _lock = Lock::command(dir.path()).unwrap();
    let mut store = Store::open(&dir.path().join(DATABASE_FILE), &key, Mode::Create).unwrap();
    done(&mut store, add(ALICE));
    for entry in fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let data = entry.metadata().unwrap();
        assert_eq!((data.uid(), data.gid()), (4321, 4321), "{:?}", entry.file_name());
        assert_eq!(data.permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
    }
    // A link that was there before is not followed into giving its target away.
    let (target, link) = (tempfile::NamedTempFile::new().unwrap(), dir.path().join("other"));
    std::os::unix::fs::symlink(target.path(), &link).unwrap();
    assert_eq!(KeyFile::create(&link, [1; 32]).unwrap_err().trouble, Trouble::Exists);
    assert_eq!(Store::open(&link, &key, Mode::Create).unwrap_err().trouble, Trouble::Exists);
    assert_eq!(target.as_file().metadata().unwrap().uid(), 0);
}

#[test]
fn no_secret_is_in_the_files_or_in_debug_output() {
    let (dir, _path, mut store) = on_disk();
    let secret = "qjxz-7wkp-hhmn-brvt";
    done(&mut store, add_key(ALICE, "phone", secret));
    let holds = |needle: &str| {
        fs::read_dir(dir.path()).unwrap().any(|entry| {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            memchr::memmem::find(&bytes, needle.as_bytes()).is_some()
        })
    };
    assert!(holds("phone"), "the search works");
    assert!(!holds(secret));
    assert!(!holds("correct horse"));
    store.conn.pragma_update(None, "wal_checkpoint", "truncate").unwrap();
    assert!(holds("phone") && !holds(secret));

    let written = add_key(ALICE, "phone", secret);
    let password = add(ALICE);
    let read = credentials(&store, ALICE).unwrap();
    let shown = format!("{written:?} {password:?} {read:?} {store:?}");
    assert!(shown.contains("phone"));
    for hidden in [secret, "argon2id", "correct horse", &read.password.scram_stored_key] {
        assert!(!shown.contains(hidden), "{hidden} in {shown}");
    }
}

#[test]
fn every_trouble_with_a_file_is_named() {
    let (dir, path, store) = on_disk();
    let trouble = |path: &Path| Store::open(path, &key(), Mode::Open).unwrap_err().trouble;
    assert_eq!(Store::open(&path, &key(), Mode::Create).unwrap_err().trouble, Trouble::Exists);
    let none = dir.path().join("none.db");
    assert_eq!(trouble(&none), Trouble::Missing);
    assert_eq!(Reader::open(&none, &key()).unwrap_err().trouble, Trouble::Missing);
    assert!(!none.exists());

    let other_key = KeyFile::from_bytes([4; 32]);
    assert_eq!(Store::open(&path, &other_key, Mode::Open).unwrap_err().trouble, Trouble::WrongKey);
    assert_eq!(Reader::open(&path, &other_key).unwrap_err().trouble, Trouble::WrongKey);

    store.conn.pragma_update(None, "user_version", VERSION + 1).unwrap();
    let newer = Trouble::Newer { found: VERSION + 1, known: VERSION };
    assert_eq!(trouble(&path), newer);
    let error = Reader::open(&path, &key()).unwrap_err();
    assert_eq!(error.trouble, newer);
    assert!(error.to_string().contains("newer hearth"), "{error}");
    store.conn.pragma_update(None, "user_version", VERSION - 1).unwrap();
    let older = Trouble::Older { found: VERSION - 1, known: VERSION };
    assert_eq!(Reader::open(&path, &key()).unwrap_err().trouble, older);
    drop(store);

    let text = dir.path().join("text.db");
    fs::write(&text, "this is no database, but long enough to be read as one ".repeat(100)).unwrap();
    assert_eq!(trouble(&text), Trouble::NotOurs);
    let other = dir.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE x (y)").unwrap();
    assert_eq!(trouble(&other), Trouble::NotOurs);
    assert_eq!(Reader::open(&other, &key()).unwrap_err().trouble, Trouble::NotOurs);
    assert!(matches!(trouble(dir.path()), Trouble::Denied(_)));
}

#[test]
fn an_empty_file_does_not_become_a_server_without_users() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DATABASE_FILE);
    fs::write(&path, "").unwrap();
    assert_eq!(Store::open(&path, &key(), Mode::Open).unwrap_err().trouble, Trouble::NotOurs);
    assert_eq!(Reader::open(&path, &key()).unwrap_err().trouble, Trouble::NotOurs);
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    let error = Store::open(&dir.path().join("none/x.db"), &key(), Mode::Create).unwrap_err();
    assert!(error.to_string().contains("directory does not exist"), "{error}");
}

#[test]
fn a_locked_or_unwritable_database_fails_the_commit_and_says_so() {
    let (_dir, path, mut store) = on_disk();
    let other = Store::open(&path, &key(), Mode::Open).unwrap();
    other.conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    store.conn.busy_timeout(Duration::ZERO).unwrap();
    assert_eq!(store.commit(&[add(BOB)]).unwrap_err().trouble, Trouble::Busy);
    other.conn.execute_batch("ROLLBACK").unwrap();
    store.conn.pragma_update(None, "query_only", true).unwrap();
    let error = store.commit(&[add(BOB)]).unwrap_err();
    assert!(matches!(error.trouble, Trouble::Denied(_)), "{error}");
    store.conn.pragma_update(None, "query_only", false).unwrap();
    assert_eq!(store.commit(&[add(BOB)]).unwrap(), [Outcome::Done]);
}

#[test]
fn whatever_is_left_of_the_log_gives_whole_batches_in_their_order() {
    // As after a crash of the machine: of what was written last, only a part has reached the disk.
    let (dir, path, mut store) = on_disk();
    let password = password();
    let mut lengths = Vec::new();
    for number in 0..20 {
        let add = |half: &str| {
            let address = format!("{half}{number}@example.org");
            Write::Admin(Change::AddAccount { address, password: password.clone(), date: Date(0) })
        };
        store.commit(&[add("a"), add("b")]).unwrap();
        lengths.push(fs::metadata(dir.path().join("hearth.db-wal")).unwrap().len());
    }
    let (database, log) = (fs::read(&path).unwrap(), fs::read(dir.path().join("hearth.db-wal")).unwrap());
    let cuts = (0..40).map(|i| log.len() * i / 40).chain(lengths.iter().map(|l| *l as usize));
    for cut in cuts {
        let after = tempfile::tempdir().unwrap();
        let path = after.path().join(DATABASE_FILE);
        fs::write(&path, &database).unwrap();
        fs::write(after.path().join("hearth.db-wal"), &log[..cut]).unwrap();
        let store = Store::open(&path, &key(), Mode::Open).unwrap();
        let there = |half: &str, n: usize| account(&store, &format!("{half}{n}@example.org")).is_some();
        let kept = lengths.iter().filter(|l| **l <= cut as u64).count();
        for number in 0..lengths.len() {
            assert_eq!(there("a", number), there("b", number), "half of batch {number} at {cut}");
            assert_eq!(there("a", number), number < kept, "batch {number} at {cut}");
        }
    }
}

#[test]
fn damage_is_found_and_fails_reads_without_panic() {
    let (_dir, path, mut store) = on_disk();
    let password = password();
    let add = |name: String| {
        let address = format!("{name}@example.org");
        Write::Admin(Change::AddAccount { address, password: password.clone(), date: Date(1000) })
    };
    let writes: Vec<Write> = (0..2000).map(|n| add(format!("user{n}"))).collect();
    store.commit(&writes).unwrap();
    drop(store);
    let reader = Reader::open(&path, &key()).unwrap();
    assert_eq!(reader.check().unwrap(), Vec::<String>::new());
    drop(reader);
    let mut bytes = fs::read(&path).unwrap();
    let pages = bytes.len() / 4096;
    for page in (pages / 4)..pages {
        bytes[page * 4096..page * 4096 + 200].fill(0xa5);
    }
    fs::write(&path, &bytes).unwrap();
    let reader = Reader::open(&path, &key()).unwrap();
    assert!(!reader.check().unwrap().is_empty());
    let failed = (0..2000)
        .filter(|n| {
            let read = Read::Account(address(&format!("user{n}@example.org")));
            matches!(reader.read(&read), Reading::Failed)
        })
        .count();
    assert!(failed > 100, "{failed}");
    let mut store = Store::open(&path, &key(), Mode::Open).unwrap();
    let errors = (0..2000).filter_map(|n| store.commit(&[add(format!("new{n}"))]).err());
    let error = errors.into_iter().next().unwrap();
    assert!(matches!(error.trouble, Trouble::Damaged(_)), "{error}");
    assert!(error.to_string().contains("restore the last backup"), "{error}");
}

#[test]
fn every_message_is_one_line() {
    let troubles = [
        Trouble::Missing,
        Trouble::Exists,
        Trouble::NotOurs,
        Trouble::Newer { found: 9, known: 1 },
        Trouble::Older { found: 0, known: 1 },
        Trouble::Damaged("x".into()),
        Trouble::WrongKey,
        Trouble::Disk("x".into()),
        Trouble::Full,
        Trouble::Denied("x".into()),
        Trouble::Busy,
        Trouble::Running { process: Some(1) },
        Trouble::Running { process: None },
        Trouble::CommandAtWork,
        Trouble::KeyMissing,
        Trouble::KeyExposed { mode: 0o644 },
        Trouble::KeyMalformed,
        Trouble::from(rusqlite::Error::InvalidPath("a\nb".into())),
    ];
    for trouble in troubles {
        let text = trouble.at(Path::new("/data/hearth.db")).to_string();
        assert!(!text.contains('\n') && text.contains("/data/hearth.db") && text.len() < 160, "{text}");
    }
}

#[test]
fn a_backup_is_a_whole_database_of_one_moment() {
    let (dir, path, mut store) = on_disk();
    done(&mut store, add_key(ALICE, "phone", "hush"));
    let alice = account(&store, ALICE).unwrap().id;
    done(&mut store, insert(alice, 1, mapping(b"here")));
    let reader = Reader::open(&path, &key()).unwrap();
    let copy = dir.path().join("copy.db");
    // A writer's open transaction neither delays it nor shows in it.
    store.conn.execute_batch("BEGIN IMMEDIATE; DELETE FROM device_key;").unwrap();
    reader.backup(&copy).unwrap();
    store.conn.execute_batch("ROLLBACK").unwrap();
    done(&mut store, add(BOB));
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let restored = Store::open(&copy, &key(), Mode::Open).unwrap();
    assert_eq!(credentials(&restored, ALICE).unwrap().keys[0].secret.expose(), "hush");
    assert_eq!(account(&restored, ALICE).unwrap().mappings, [mapping(b"here")]);
    assert!(account(&restored, BOB).is_none());
    assert_eq!(Reader::open(&copy, &key()).unwrap().check().unwrap(), Vec::<String>::new());
    // Nothing is overwritten, and nothing is left behind by a failure.
    let before = fs::read(&path).unwrap();
    assert_eq!(reader.backup(&path).unwrap_err().trouble, Trouble::Exists);
    assert_eq!(fs::read(&path).unwrap(), before);
    assert!(reader.backup(&dir.path().join("none/copy.db")).is_err());
    let next = dir.path().join("next.db");
    fs::write(dir.path().join("next.db.partial"), "in the way").unwrap();
    assert!(reader.backup(&next).is_err());
    assert!(!next.exists());
    assert!(!dir.path().join("copy.db.partial").exists());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(reader.check().unwrap(), ["it is open to others (mode 0644): run 'chmod 600' on it"]);
}

#[test]
fn a_database_of_the_first_release_is_brought_up_with_all_that_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DATABASE_FILE);
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let old = Connection::open(&path).unwrap();
    old.execute_batch(include_str!("../../../schema/001-base.sql")).unwrap();
    let insert = "INSERT INTO setting VALUES ('key check', ?1)";
    old.execute(insert, [key().check()]).unwrap();
    old.execute_batch(
        "PRAGMA application_id = 0x68727468; PRAGMA user_version = 1;
         INSERT INTO account (id, address, made) VALUES (7, 'alice@example.org', 1000);
         INSERT INTO profile VALUES (7, 0, 'message', 'in the lab');
         INSERT INTO inbound (account, watcher, token, expires) VALUES
            (7, 'bob@example.org', 't2', 5000), (7, 'bob@example.org', 't1', 9);
         INSERT INTO outbound (account, presentity, token, expires, automatic) VALUES
            (7, 'bob@example.org', 'x', 5000, 1);",
    )
    .unwrap();
    drop(old);
    assert_eq!(Reader::open(&path, &key()).unwrap_err().trouble, Trouble::Older { found: 1, known: VERSION });
    let mut store = Store::open(&path, &key(), Mode::Open).unwrap();
    let record = account(&store, ALICE).unwrap();
    assert_eq!(record.profile, entries(&[("message", "in the lab")]));
    // In their order, and not as if the watcher's server had named them.
    assert_eq!(record.watched_by, [inbound("t2", 5000), inbound("t1", 9)]);
    assert_eq!(record.watching, [Outbound { automatic: true, ..outbound(BOB, "x", 5000) }]);
    assert_eq!(record.mappings, []);
    done(&mut store, super::insert(record.id, 1, mapping(b"x")));
    done(&mut store, Write::Admin(Change::RemoveAccount { address: ALICE.into() }));
    let reader = Reader::open(&path, &key()).unwrap();
    assert_eq!(reader.check().unwrap(), Vec::<String>::new());
    let counts = reader.counts().unwrap();
    assert_eq!((counts.version, counts.inbound, counts.outbound), (VERSION, 0, 0));
}

#[test]
fn a_lost_key_file_costs_the_device_keys_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (database, key_file) = (dir.path().join(DATABASE_FILE), dir.path().join(KEY_FILE));
    let old = KeyFile::create(&key_file, [1; 32]).unwrap();
    let mut store = Store::open(&database, &old, Mode::Create).unwrap();
    done(&mut store, add(ALICE));
    done(&mut store, add_key(ALICE, "phone", "one"));
    done(&mut store, add_key(ALICE, "desk", "two"));
    drop(store);
    let serving = Lock::serve(dir.path()).unwrap();
    assert!(matches!(renew_key(dir.path(), [2; 32]).unwrap_err().trouble, Trouble::Running { .. }));
    drop(serving);
    fs::remove_file(&key_file).unwrap();
    // As an attempt that was cut short leaves it.
    fs::write(dir.path().join("hearth.key.new"), "").unwrap();
    assert_eq!(renew_key(dir.path(), [2; 32]).unwrap(), 2);
    assert!(!dir.path().join("hearth.key.new").exists());
    assert_eq!(Store::open(&database, &old, Mode::Open).unwrap_err().trouble, Trouble::WrongKey);
    let mut store = Store::open(&database, &KeyFile::load(&key_file).unwrap(), Mode::Open).unwrap();
    let kept = credentials(&store, ALICE).unwrap();
    assert!(kept.keys.is_empty() && kept.password == password());
    done(&mut store, add_key(ALICE, "phone", "three"));
    assert_eq!(credentials(&store, ALICE).unwrap().keys[0].secret.expose(), "three");
}

#[test]
fn lists_show_what_is_there_and_no_secrets() {
    let (_dir, path, mut store) = on_disk();
    done(&mut store, add(BOB));
    done(&mut store, add_key(BOB, "phone", "hush"));
    done(&mut store, Write::Admin(Change::SetLocked { address: BOB.into(), locked: true }));
    done(
        &mut store,
        Write::Admin(Change::SetPeerRule { domain: "x.test".into(), rule: Some(PeerRule::Deny) }),
    );
    let bob = account(&store, BOB).unwrap().id;
    done(&mut store, Write::AddItem { account: bob, item: failure(1, "x"), room: None });
    done(&mut store, Write::AddItem { account: bob, item: message(2, b"x"), room: None });
    done(&mut store, Write::AddInbound { account: bob, inbound: inbound("t", 1) });
    let reader = Reader::open(&path, &key()).unwrap();
    let mut users = Vec::new();
    reader
        .users(|user| {
            users.push((user.address, user.locked, user.keys, user.made));
            true
        })
        .unwrap();
    assert_eq!(users, [(ALICE.to_owned(), false, 0, Date(1000)), (BOB.to_owned(), true, 1, Date(1000))]);
    let mut first = 0;
    reader
        .users(|_| {
            first += 1;
            false
        })
        .unwrap();
    assert_eq!(first, 1);
    let details = reader.user(BOB).unwrap().unwrap();
    assert_eq!(details.keys, [KeyLabel { label: "phone".into(), made: Date(2000) }]);
    assert_eq!((details.account.waiting, details.account.watched_by.len()), (2, 1));
    assert!(details.summary.locked);
    assert_eq!(reader.keys(ALICE).unwrap(), Some(vec![]));
    assert_eq!(reader.keys("nobody@example.org").unwrap(), None);
    assert_eq!(reader.peer_rules().unwrap().len(), 1);
    let counts = reader.counts().unwrap();
    let expected = Counts {
        version: VERSION,
        accounts: 2,
        locked: 1,
        keys: 1,
        inbound: 1,
        outbound: 0,
        failures: 1,
        messages: 1,
        peer_rules: 1,
        file_octets: counts.file_octets,
        log_octets: counts.log_octets,
    };
    assert_eq!(counts, expected);
    assert!(counts.file_octets > 0 && counts.log_octets > 0);
}

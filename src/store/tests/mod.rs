#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! The store as a whole: every write seen by the reads, batches kept whole or not at all, and every
//! trouble with the files named.

mod model;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::LazyLock;

use proptest::prelude::*;
use tempfile::TempDir;

use super::record::*;
use super::*;
use crate::clock::Date;
use crate::credential::{Cost, PasswordRecord, Secret, verify_argon2};
use crate::hub::address::{Address, Domains};

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.org";

fn key() -> KeyFile {
    KeyFile::from_bytes([3; 32])
}

fn address(text: &str) -> Address {
    Address::parse(text, &Domains::default()).unwrap()
}

fn password() -> PasswordRecord {
    static MADE: LazyLock<PasswordRecord> =
        LazyLock::new(|| PasswordRecord::with_cost("correct horse", [5; 32], Cost::LEAST).unwrap());
    MADE.clone()
}

fn add(text: &str) -> Write {
    Write::Admin(Change::AddAccount { address: text.into(), password: password(), date: Date(1000) })
}

fn add_key(text: &str, label: &str, secret: &str) -> Write {
    Write::Admin(Change::AddKey {
        address: text.into(),
        label: label.into(),
        secret: Secret::new(secret.into()),
        date: Date(2000),
    })
}

fn done(store: &mut Store, write: Write) {
    assert_eq!(one(store, write), Outcome::Done);
}

fn one(store: &mut Store, write: Write) -> Outcome {
    let outcomes = store.commit(std::slice::from_ref(&write)).unwrap();
    assert_eq!(outcomes.len(), 1);
    outcomes[0]
}

fn account(store: &Store, text: &str) -> Option<AccountRecord> {
    match store.read(&Read::Account(address(text))) {
        Reading::Account(record) => record.map(|r| *r),
        other => panic!("{other:?}"),
    }
}

fn credentials(store: &Store, text: &str) -> Option<CredentialRecord> {
    match store.read(&Read::Credentials(address(text))) {
        Reading::Credentials(record) => record.map(|r| *r),
        other => panic!("{other:?}"),
    }
}

fn items(store: &Store, account: AccountId, limit: u32) -> Vec<Item> {
    match store.read(&Read::Items { account, limit }) {
        Reading::Items(items) => items,
        other => panic!("{other:?}"),
    }
}

/// A store in memory with Alice, and her id.
fn with_alice() -> (Store, AccountId) {
    let mut store = Store::memory(&key()).unwrap();
    done(&mut store, add(ALICE));
    let id = account(&store, ALICE).unwrap().id;
    (store, id)
}

/// A database file with Alice.
fn on_disk() -> (TempDir, PathBuf, Store) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DATABASE_FILE);
    let mut store = Store::open(&path, &key(), Mode::Create).unwrap();
    done(&mut store, add(ALICE));
    (dir, path, store)
}

fn failure(id: i64, reason: &str) -> Item {
    let kind =
        ItemKind::Failure { recipient: address("Carol@example.net"), sent: Date(70), reason: reason.into() };
    Item { id: ItemId(id), date: Date(100), kind }
}

fn message(id: i64, body: &[u8]) -> Item {
    let kind = ItemKind::Message(KeptMessage {
        from: address("Carol@example.net"),
        reply_to: None,
        content_type: "text/plain".into(),
        body: body.to_vec(),
        native: None,
    });
    Item { id: ItemId(id), date: Date(100), kind }
}

fn inbound(token: &str, expires: i64) -> Inbound {
    Inbound { watcher: address(BOB), token: token.into(), expires: Date(expires) }
}

fn outbound(presentity: &str, token: &str, expires: i64) -> Outbound {
    Outbound {
        presentity: address(presentity),
        token: token.into(),
        expires: Date(expires),
        automatic: false,
    }
}

fn entries(pairs: &[(&str, &str)]) -> Entries {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn a_new_account_is_as_designed() {
    let (mut store, id) = with_alice();
    let record = account(&store, ALICE).unwrap();
    let expected = AccountRecord {
        id,
        address: address(ALICE),
        locked: false,
        watchers: WatcherPolicy::Ask,
        keeps_messages: false,
        acl: None,
        profile: vec![],
        told_online: None,
        watched_by: vec![],
        watching: vec![],
        waiting: 0,
    };
    assert_eq!(record, expected);
    assert_eq!(one(&mut store, add(ALICE)), Outcome::Exists);
    assert!(account(&store, BOB).is_none());
    assert!(credentials(&store, BOB).is_none());
}

#[test]
fn the_operators_changes_are_kept() {
    let (mut store, id) = with_alice();
    let on = |change: fn(String) -> Change, who: &str| Write::Admin(change(who.to_owned()));
    let changes: [fn(String) -> Change; 5] = [
        |address| Change::SetLocked { address, locked: true },
        |address| Change::SetWatchers { address, watchers: WatcherPolicy::Allow },
        |address| Change::SetKeepsMessages { address, keeps: true },
        |address| Change::SetPassword {
            address,
            password: PasswordRecord::with_cost("other", [6; 32], Cost::LEAST).unwrap(),
        },
        |address| Change::RemoveAccount { address },
    ];
    for change in &changes[..4] {
        assert_eq!(one(&mut store, on(*change, ALICE)), Outcome::Done);
        assert_eq!(one(&mut store, on(*change, BOB)), Outcome::NotFound);
    }
    let record = account(&store, ALICE).unwrap();
    assert!(record.locked && record.keeps_messages);
    assert_eq!(record.watchers, WatcherPolicy::Allow);
    let kept = credentials(&store, ALICE).unwrap();
    assert!(kept.locked && kept.account == id && kept.address == address(ALICE));
    assert!(verify_argon2(&kept.password.argon2, "other"));
    assert!(!verify_argon2(&kept.password.argon2, "correct horse"));
    for watchers in [WatcherPolicy::Refuse, WatcherPolicy::Ask] {
        done(&mut store, Write::Admin(Change::SetWatchers { address: ALICE.into(), watchers }));
        assert_eq!(account(&store, ALICE).unwrap().watchers, watchers);
    }
    assert_eq!(one(&mut store, on(changes[4], ALICE)), Outcome::Done);
    assert_eq!(one(&mut store, on(changes[4], ALICE)), Outcome::NotFound);
    assert!(account(&store, ALICE).is_none());
}

#[test]
fn the_whole_password_record_comes_back() {
    let (store, _) = with_alice();
    assert_eq!(credentials(&store, ALICE).unwrap().password, password());
}

#[test]
fn device_keys_come_and_go() {
    let (mut store, _) = with_alice();
    done(&mut store, add_key(ALICE, "phone", "one"));
    done(&mut store, add_key(ALICE, "", "p\u{e2}ss w\u{f6}rd"));
    assert_eq!(one(&mut store, add_key(ALICE, "phone", "two")), Outcome::Exists);
    assert_eq!(one(&mut store, add_key(BOB, "phone", "two")), Outcome::NotFound);
    let keys = credentials(&store, ALICE).unwrap().keys;
    let plain: Vec<_> = keys.iter().map(|k| (k.label.as_str(), k.secret.expose(), k.made)).collect();
    assert_eq!(plain, [("", "p\u{e2}ss w\u{f6}rd", Date(2000)), ("phone", "one", Date(2000))]);
    let remove = |label: &str| Write::Admin(Change::RemoveKey { address: ALICE.into(), label: label.into() });
    done(&mut store, remove("phone"));
    assert_eq!(one(&mut store, remove("phone")), Outcome::NotFound);
    assert_eq!(credentials(&store, ALICE).unwrap().keys.len(), 1);
}

#[test]
fn one_damaged_device_key_does_not_shut_out_the_others() {
    let (mut store, _) = with_alice();
    done(&mut store, add_key(ALICE, "a", "one"));
    done(&mut store, add_key(ALICE, "b", "two"));
    store.conn.execute("UPDATE device_key SET sealed = x'00' WHERE label = 'a'", []).unwrap();
    let keys = credentials(&store, ALICE).unwrap().keys;
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0].secret.expose(), "two");
}

#[test]
fn profiles_and_acls_are_replaced_whole_and_apart_from_each_other() {
    // SIMP-3.7-1, SIMP-15-3, OC-35, OC-51
    let (mut store, id) = with_alice();
    let profile = entries(&[("message", "in the lab"), ("buddies", "<properties/>\n"), ("a b", "")]);
    let acl = entries(&[("everybody", "send  change\n end"), ("@x", "")]);
    done(&mut store, Write::SetProfile { account: id, profile: profile.clone() });
    assert_eq!(account(&store, ALICE).unwrap().acl, None);
    done(&mut store, Write::SetAcl { account: id, acl: acl.clone() });
    let record = account(&store, ALICE).unwrap();
    assert_eq!((record.profile, record.acl), (profile, Some(acl.clone())));
    done(&mut store, Write::SetProfile { account: id, profile: entries(&[("z", "1")]) });
    let record = account(&store, ALICE).unwrap();
    assert_eq!((record.profile, record.acl), (entries(&[("z", "1")]), Some(acl)));
    // An empty access control list is not the same as none.
    done(&mut store, Write::SetAcl { account: id, acl: vec![] });
    done(&mut store, Write::SetProfile { account: id, profile: vec![] });
    let record = account(&store, ALICE).unwrap();
    assert_eq!((record.profile, record.acl), (vec![], Some(vec![])));
    let gone = AccountId(99);
    assert_eq!(one(&mut store, Write::SetProfile { account: gone, profile: vec![] }), Outcome::NotFound);
    assert_eq!(
        one(&mut store, Write::SetAcl { account: gone, acl: entries(&[("a", "b")]) }),
        Outcome::NotFound
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn keys_and_values_of_any_characters_come_back(
        // SIMP-3.7-2, SIMP-3.7-8: also NUL, controls, astral planes, and keys that differ only in case or form.
        profile in prop::collection::vec((any::<String>(), any::<String>()), 0..8),
    ) {
        let (mut store, id) = with_alice();
        let mut profile = profile;
        profile.extend(entries(&[("\0", "\0"), ("K", "1"), ("k", "2"), ("caf\u{e9}", "'"), ("cafe\u{301}", "\"")]));
        done(&mut store, Write::SetProfile { account: id, profile: profile.clone() });
        done(&mut store, Write::SetAcl { account: id, acl: profile.clone() });
        let record = account(&store, ALICE).unwrap();
        prop_assert_eq!(&record.profile, &profile);
        prop_assert_eq!(record.acl.as_ref(), Some(&profile));
    }
}

#[test]
fn subscriptions_are_kept_in_order_with_their_leases() {
    let (mut store, id) = with_alice();
    for token in ["t2", "t1", "t3"] {
        done(&mut store, Write::AddInbound { account: id, inbound: inbound(token, 5000) });
    }
    let again = Write::AddInbound { account: id, inbound: inbound("t1", 9000) };
    assert_eq!(one(&mut store, again), Outcome::Exists);
    let tokens = vec!["t1".to_owned(), "unknown".to_owned()];
    done(&mut store, Write::RemoveInbound { account: id, tokens });
    let expected = vec![inbound("t2", 5000), inbound("t3", 5000)];
    assert_eq!(account(&store, ALICE).unwrap().watched_by, expected);

    let carol = "Carol@example.net";
    for (presentity, token) in [(BOB, "x"), (carol, "x"), (carol, "y")] {
        let outbound = outbound(presentity, token, 5000);
        done(&mut store, Write::PutOutbound { account: id, outbound });
    }
    let renewed = Outbound { automatic: true, ..outbound(carol, "x", 7000) };
    done(&mut store, Write::PutOutbound { account: id, outbound: renewed.clone() });
    let expected = vec![outbound(BOB, "x", 5000), renewed, outbound(carol, "y", 5000)];
    assert_eq!(account(&store, ALICE).unwrap().watching, expected);
    let remove = |presentity: &str, token: Option<&str>| Write::RemoveOutbound {
        account: id,
        presentity: address(presentity),
        token: token.map(str::to_owned),
    };
    done(&mut store, remove(carol, Some("y")));
    assert_eq!(one(&mut store, remove(carol, Some("y"))), Outcome::NotFound);
    done(&mut store, remove(BOB, None));
    assert_eq!(account(&store, ALICE).unwrap().watching.len(), 1);

    let gone = AccountId(99);
    let writes = [
        Write::AddInbound { account: gone, inbound: inbound("t", 1) },
        Write::PutOutbound { account: gone, outbound: outbound(BOB, "t", 1) },
        Write::SetToldOnline { account: gone, since: None },
    ];
    for write in writes {
        assert_eq!(one(&mut store, write), Outcome::NotFound);
    }
}

#[test]
fn what_watchers_were_told_is_kept() {
    let (mut store, id) = with_alice();
    done(&mut store, add(BOB));
    for (since, online) in [(None, vec![]), (Some(Date(77)), vec![address(ALICE)]), (None, vec![])] {
        done(&mut store, Write::SetToldOnline { account: id, since });
        assert_eq!(account(&store, ALICE).unwrap().told_online, since);
        let reading = store.read(&Read::ToldOnline);
        assert!(matches!(&reading, Reading::Addresses(told) if *told == online), "{reading:?}");
    }
}

#[test]
fn items_wait_in_the_order_they_were_written() {
    let (mut store, id) = with_alice();
    let full = Item {
        id: ItemId(i64::MIN),
        date: Date(3),
        kind: ItemKind::Message(KeptMessage {
            from: address("Carol@example.net"),
            reply_to: Some(address(BOB)),
            content_type: "text/plain; charset=utf-8".into(),
            body: vec![0, 255, 10],
            native: Some((255, vec![])),
        }),
    };
    let all = [failure(9, "no-listeners"), full, message(-4, b""), failure(i64::MAX, "")];
    for item in &all {
        done(&mut store, Write::AddItem { account: id, item: item.clone(), room: None });
    }
    assert_eq!(items(&store, id, 10), all);
    assert_eq!(items(&store, id, 2), all[..2]);
    assert_eq!(account(&store, ALICE).unwrap().waiting, 4);
    let again = Write::AddItem { account: id, item: failure(-4, "x"), room: None };
    assert_eq!(one(&mut store, again), Outcome::Exists);
    let gone = Write::AddItem { account: AccountId(99), item: failure(1, "x"), room: None };
    assert_eq!(one(&mut store, gone), Outcome::NotFound);
    let remove = |account: AccountId, id: i64| Write::RemoveItem { account, id: ItemId(id) };
    assert_eq!(one(&mut store, remove(AccountId(99), 9)), Outcome::NotFound);
    done(&mut store, remove(id, i64::MIN));
    // Exactly once: the second time it is not there.
    assert_eq!(one(&mut store, remove(id, i64::MIN)), Outcome::NotFound);
    assert_eq!(items(&store, id, 10), [all[0].clone(), all[2].clone(), all[3].clone()]);
    assert_eq!(account(&store, ALICE).unwrap().waiting, 3);
}

#[test]
fn messages_are_bounded_and_reports_are_not() {
    let (mut store, id) = with_alice();
    let put = |item: Item, room| Write::AddItem { account: id, item, room };
    assert_eq!(one(&mut store, put(message(1, b"123456"), Some((3, 10)))), Outcome::Done);
    assert_eq!(one(&mut store, put(message(2, b"12345"), Some((3, 10)))), Outcome::Full);
    assert_eq!(one(&mut store, put(message(2, b"1234"), Some((3, 10)))), Outcome::Done);
    assert_eq!(one(&mut store, put(message(3, b""), Some((2, 10)))), Outcome::Full);
    assert_eq!(one(&mut store, put(message(3, b""), Some((3, 10)))), Outcome::Done);
    assert_eq!(one(&mut store, put(message(4, b""), Some((3, 10)))), Outcome::Full);
    assert_eq!(one(&mut store, put(failure(4, "x"), Some((0, 0)))), Outcome::Done);
    // Another's messages don't count.
    done(&mut store, add(BOB));
    let bob = account(&store, BOB).unwrap().id;
    let his = Write::AddItem { account: bob, item: message(5, b"1"), room: Some((1, 1)) };
    assert_eq!(one(&mut store, his), Outcome::Done);
}

#[test]
fn what_is_over_expires_and_nothing_else() {
    let (mut store, id) = with_alice();
    for at in [49, 50] {
        let token = at.to_string();
        done(&mut store, Write::AddInbound { account: id, inbound: inbound(&token, at) });
        done(&mut store, Write::PutOutbound { account: id, outbound: outbound(BOB, &token, at) });
        let old = Item { date: Date(at - 20), ..message(at, b"x") };
        done(&mut store, Write::AddItem { account: id, item: old, room: None });
        let old = Item { date: Date(at - 20), ..failure(at + 100, "x") };
        done(&mut store, Write::AddItem { account: id, item: old, room: None });
    }
    let read = Read::ExpiredMessages { before: Date(30), limit: 9 };
    match store.read(&read) {
        Reading::Expired(expired) => {
            assert_eq!(expired.iter().map(|e| e.item).collect::<Vec<_>>(), [ItemId(49)]);
        }
        other => panic!("{other:?}"),
    }
    done(&mut store, Write::Expire { leases: Date(50), items: Date(30) });
    let record = account(&store, ALICE).unwrap();
    assert_eq!(record.watched_by, [inbound("50", 50)]);
    assert_eq!(record.watching, [outbound(BOB, "50", 50)]);
    let left: Vec<_> = items(&store, id, 9).into_iter().map(|item| item.id.0).collect();
    assert_eq!(left, [49, 50, 150]);
    assert_eq!(record.waiting, 3);
}

#[test]
fn peer_rules_are_set_and_forgotten() {
    let mut store = Store::memory(&key()).unwrap();
    let set = |domain: &str, rule| Write::Admin(Change::SetPeerRule { domain: domain.into(), rule });
    let rules = |store: &Store| match store.read(&Read::PeerRules) {
        Reading::PeerRules(rules) => {
            rules.into_iter().map(|(domain, rule)| (domain.to_string(), rule)).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    done(&mut store, set("b.test", Some(PeerRule::Deny)));
    done(&mut store, set("a.test", Some(PeerRule::Deny)));
    done(&mut store, set("a.test", Some(PeerRule::Allow)));
    let expected = [("a.test".to_owned(), PeerRule::Allow), ("b.test".to_owned(), PeerRule::Deny)];
    assert_eq!(rules(&store), expected);
    done(&mut store, set("b.test", None));
    assert_eq!(one(&mut store, set("b.test", None)), Outcome::NotFound);
    assert_eq!(rules(&store), expected[..1]);
}

#[test]
fn a_deleted_account_leaves_nothing_and_its_id_is_not_used_again() {
    let (mut store, id) = with_alice();
    done(&mut store, add_key(ALICE, "phone", "one"));
    done(&mut store, Write::SetProfile { account: id, profile: entries(&[("a", "b")]) });
    done(&mut store, Write::SetAcl { account: id, acl: entries(&[("a", "b")]) });
    done(&mut store, Write::AddInbound { account: id, inbound: inbound("t", 1) });
    done(&mut store, Write::PutOutbound { account: id, outbound: outbound(BOB, "t", 1) });
    done(&mut store, Write::AddItem { account: id, item: failure(1, "x"), room: None });
    done(&mut store, Write::AddItem { account: id, item: message(2, b"x"), room: None });
    let tables: Vec<String> = store
        .conn
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let rows = |store: &Store, table: &String| -> i64 {
        store.conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    let of_accounts: Vec<&String> = tables.iter().filter(|t| *t != "setting" && *t != "peer_rule").collect();
    for table in &of_accounts {
        assert!(rows(&store, table) > 0, "{table} is not tested");
    }
    done(&mut store, Write::Admin(Change::RemoveAccount { address: ALICE.into() }));
    for table in &of_accounts {
        assert_eq!(rows(&store, table), 0, "{table}");
    }
    done(&mut store, add(ALICE));
    assert_ne!(account(&store, ALICE).unwrap().id, id);
    assert_eq!(one(&mut store, Write::SetToldOnline { account: id, since: None }), Outcome::NotFound);
}

fn batch(number: u64, writes: Vec<Write>) -> Batch {
    Batch { number, writes }
}

#[test]
fn outcomes_of_a_batch_stand_in_the_order_of_its_writes() {
    let (mut store, id) = with_alice();
    let writes = [add(ALICE), add(BOB), add_key("x@example.org", "a", "b"), add(BOB)];
    let outcomes = store.commit(&writes).unwrap();
    assert_eq!(outcomes, [Outcome::Exists, Outcome::Done, Outcome::NotFound, Outcome::Exists]);
    let committed = store.commit_batches(&[
        batch(7, vec![Write::SetToldOnline { account: id, since: Some(Date(1)) }, add(BOB)]),
        batch(8, vec![]),
        batch(9, vec![add("carol@example.org")]),
    ]);
    let plain: Vec<_> = committed.into_iter().map(|c| (c.number, c.outcomes.unwrap())).collect();
    let expected = [(7, vec![Outcome::Done, Outcome::Exists]), (8, vec![]), (9, vec![Outcome::Done])];
    assert_eq!(plain, expected);
    assert!(store.commit_batches(&[]).is_empty());
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
    drop((reader, store));
    let store = Store::open(&path, &key(), Mode::Open).unwrap();
    assert!(account(&store, BOB).is_some());
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

#[test]
fn no_question_of_the_loop_scans_a_table() {
    // A million accounts must cost a look-up no more than ten do.
    let (store, _) = with_alice();
    let sources = concat!(include_str!("../read.rs"), include_str!("../write.rs"));
    let queries = sources.split('"').filter(|s| {
        ["SELECT ", "DELETE ", "UPDATE "].iter().any(|verb| s.starts_with(verb))
            && !s.contains("peer_rule ORDER")
            && !s.contains("account_told_online")
    });
    let mut seen = 0;
    for sql in queries {
        let plan = format!("EXPLAIN QUERY PLAN {sql}");
        let mut statement = store.conn.prepare(&plan).unwrap();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().unwrap() {
            let step: String = row.get(3).unwrap();
            assert!(!step.starts_with("SCAN"), "{step} in {sql}");
        }
        seen += 1;
    }
    assert!(seen >= 20, "{seen}");
}

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! The store as a whole: every write is seen by the reads, and tells what came of it.

mod files;
mod model;

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;

use super::record::*;
use super::*;
use crate::clock::Date;
use crate::credential::{Cost, PasswordRecord, Secret, verify_argon2};
use crate::hub::address::{Address, Domains};
use crate::hub::op::Strength;

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
    match store.read(&Read::Items { account, limit, skip: 0 }) {
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
        strength: Strength::None,
        visited: String::new(),
    });
    Item { id: ItemId(id), date: Date(100), kind }
}

fn inbound(token: &str, expires: i64) -> Inbound {
    Inbound { watcher: address(BOB), token: token.into(), expires: Some(Date(expires)), named: false }
}

fn outbound(presentity: &str, token: &str, expires: i64) -> Outbound {
    Outbound {
        presentity: address(presentity),
        token: token.into(),
        expires: Some(Date(expires)),
        automatic: false,
    }
}

/// Seen by one watcher; the document says nothing that is read.
fn mapping(octets: &[u8]) -> Mapping {
    let document = Document { content_type: None, octets: octets.to_vec() };
    let shown = Shown { document: Arc::new(document), gist: Gist::default() };
    Mapping { class: "presence:bob@example.org".into(), shown: Some(shown) }
}

fn insert(account: AccountId, at: u32, mapping: Mapping) -> Write {
    Write::EditMapping { account, edit: MappingEdit::Insert { at, mapping } }
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
        untold: false,
        mappings: vec![],
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
    let other = (address("Carol@example.net"), "t2".to_owned());
    let leases = vec![(address(BOB), "t1".to_owned()), (address(BOB), "unknown".to_owned()), other];
    done(&mut store, Write::RemoveInbound { account: id, leases });
    let expected = vec![inbound("t2", 5000), inbound("t3", 5000)];
    assert_eq!(account(&store, ALICE).unwrap().watched_by, expected);

    let carol = "Carol@example.net";
    for (presentity, token) in [(BOB, "x"), (carol, "x"), (carol, "y")] {
        let outbound = outbound(presentity, token, 5000);
        done(&mut store, Write::PutOutbound { account: id, outbound });
    }
    let renewed = Outbound { automatic: true, ..outbound(carol, "x", 7000) };
    done(&mut store, Write::PutOutbound { account: id, outbound: renewed.clone() });
    let expected = vec![outbound(BOB, "x", 5000), renewed.clone(), outbound(carol, "y", 5000)];
    assert_eq!(account(&store, ALICE).unwrap().watching, expected);
    let leftovers = |after| match store.read(&Read::Leftovers { after, limit: 10 }) {
        Reading::Leftovers(leftovers) => leftovers,
        other => panic!("{other:?}"),
    };
    let left = leftovers(0);
    let whose: Vec<_> = left.iter().map(|l| (l.account, l.watcher.as_str(), &l.outbound)).collect();
    assert_eq!(whose, [(id, ALICE, &renewed)]);
    assert_eq!(leftovers(left[0].row), []);
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
        insert(gone, 1, mapping(b"")),
    ];
    for write in writes {
        assert_eq!(one(&mut store, write), Outcome::NotFound);
    }
}

#[test]
fn a_connection_id_is_a_watchers_own() {
    // TOC-83, TOC-84: blank is one like any other, and two watchers may have the same.
    let (mut store, id) = with_alice();
    let of = |watcher: &str, token: &str| Inbound {
        watcher: address(watcher),
        token: token.into(),
        expires: None,
        named: true,
    };
    let all = [of(BOB, ""), of("carol@example.net", ""), of(BOB, "K3x9"), of("carol@example.net", "K3x9")];
    for inbound in all.clone() {
        done(&mut store, Write::AddInbound { account: id, inbound });
    }
    let again = Write::AddInbound { account: id, inbound: inbound("K3x9", 7) };
    assert_eq!(one(&mut store, again), Outcome::Exists);
    assert_eq!(account(&store, ALICE).unwrap().watched_by, all);
    done(&mut store, Write::RemoveInbound { account: id, leases: vec![(address(BOB), String::new())] });
    assert_eq!(account(&store, ALICE).unwrap().watched_by, all[1..]);
}

#[test]
fn mappings_are_numbered_without_gaps() {
    // TOC-70, TOC-74, PITP-5-2, PITP-15.3-2, PITP-15.8-4
    let (mut store, id) = with_alice();
    let classes = |store: &Store| -> Vec<String> {
        account(store, ALICE).unwrap().mappings.into_iter().map(|m| m.class).collect()
    };
    assert!(classes(&store).is_empty());
    let class = |class: &str| Mapping { class: class.into(), shown: None };
    for (at, name) in [(1, "fred"), (2, "harry\nalice"), (3, "net"), (4, "presence:*"), (5, "*")] {
        done(&mut store, insert(id, at, class(name)));
    }
    done(&mut store, insert(id, 1, class("other")));
    let edit = |edit| Write::EditMapping { account: id, edit };
    done(&mut store, edit(MappingEdit::Delete { at: 2 }));
    for at in [0, 7, u32::MAX] {
        assert_eq!(one(&mut store, insert(id, at, class("x"))), Outcome::NotFound);
        for missing in [
            MappingEdit::Delete { at },
            MappingEdit::SetShown { at, shown: None },
            MappingEdit::SetClass { at, class: String::new() },
        ] {
            assert_eq!(one(&mut store, edit(missing)), Outcome::NotFound);
        }
    }
    done(&mut store, insert(id, 6, class("")));
    done(&mut store, edit(MappingEdit::SetClass { at: 2, class: String::new() }));
    assert_eq!(classes(&store), ["other", "", "net", "presence:*", "*", ""]);
    // TOC-93: octets and type come back as they were given, and what was read out of them with them.
    let document =
        Document { content_type: Some("application/presence; x=\"y\"".into()), octets: vec![0, 255] };
    let gist = Gist { open: Some(false), since: Some(Date(-1)), description: Some("caf\u{e9}".into()) };
    let shown = Shown { document: Arc::new(document), gist };
    done(&mut store, edit(MappingEdit::SetShown { at: 3, shown: Some(shown.clone()) }));
    done(&mut store, edit(MappingEdit::SetClass { at: 3, class: "org".into() }));
    let kept = account(&store, ALICE).unwrap().mappings;
    assert_eq!(kept[2], Mapping { class: "org".into(), shown: Some(shown) });
    assert!(kept.iter().enumerate().all(|(at, m)| (at == 2) == m.shown.is_some()));
    done(&mut store, edit(MappingEdit::SetShown { at: 3, shown: None }));
    assert_eq!(account(&store, ALICE).unwrap().mappings[2], class("org"));
    // Another's list is another's.
    done(&mut store, add(BOB));
    let bob = account(&store, BOB).unwrap().id;
    assert_eq!(one(&mut store, insert(bob, 2, class("x"))), Outcome::NotFound);
    done(&mut store, insert(bob, 1, class("x")));
    done(&mut store, edit(MappingEdit::Delete { at: 1 }));
    assert_eq!(account(&store, BOB).unwrap().mappings, [class("x")]);
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
    for untold in [true, true, false, false] {
        done(&mut store, Write::SetUntold { account: id, untold });
        assert_eq!(account(&store, ALICE).unwrap().untold, untold);
        let online = if untold { vec![address(ALICE)] } else { vec![] };
        let reading = store.read(&Read::ToldOnline);
        assert!(matches!(&reading, Reading::Addresses(told) if *told == online), "{reading:?}");
    }
    let nobody = Write::SetUntold { account: AccountId(99), untold: true };
    assert_eq!(one(&mut store, nobody), Outcome::NotFound);
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
            strength: Strength::Medium,
            visited: "c.test d.test".into(),
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
    let room = |messages, octets| Some(Room { messages, octets, stranger: false });
    let put = |item: Item, room| Write::AddItem { account: id, item, room };
    assert_eq!(one(&mut store, put(message(1, b"123456"), room(3, 10))), Outcome::Done);
    assert_eq!(one(&mut store, put(message(2, b"12345"), room(3, 10))), Outcome::Full);
    assert_eq!(one(&mut store, put(message(2, b"1234"), room(3, 10))), Outcome::Done);
    assert_eq!(one(&mut store, put(message(3, b""), room(2, 10))), Outcome::Full);
    assert_eq!(one(&mut store, put(message(3, b""), room(3, 10))), Outcome::Done);
    assert_eq!(one(&mut store, put(message(4, b""), room(3, 10))), Outcome::Full);
    assert_eq!(one(&mut store, put(failure(4, "x"), room(0, 0))), Outcome::Done);
    // Another's messages don't count.
    done(&mut store, add(BOB));
    let bob = account(&store, BOB).unwrap().id;
    let his = Write::AddItem { account: bob, item: message(5, b"1"), room: room(1, 1) };
    assert_eq!(one(&mut store, his), Outcome::Done);
    // Strangers of one domain have half of it, all strangers three quarters.
    let stranger = |n, from: &str| {
        let mut item = message(n, b"2");
        if let ItemKind::Message(message) = &mut item.kind {
            message.from = address(from);
        }
        Write::AddItem { account: bob, item, room: Some(Room { messages: 4, octets: 100, stranger: true }) }
    };
    assert_eq!(one(&mut store, stranger(6, "dave@evil.example")), Outcome::Done);
    assert_eq!(one(&mut store, stranger(7, "dan@x.evil.example")), Outcome::Done);
    assert_eq!(one(&mut store, stranger(8, "don@y.evil.example")), Outcome::Full);
    let friend = Write::AddItem { account: bob, item: message(9, b"3"), room: room(4, 100) };
    assert_eq!(one(&mut store, friend), Outcome::Done);
    for id in [ItemId(5), ItemId(9)] {
        done(&mut store, Write::RemoveItem { account: bob, id });
    }
    assert_eq!(one(&mut store, stranger(10, "dora@evil.example")), Outcome::Done);
    assert_eq!(one(&mut store, stranger(11, "dick@evil.example")), Outcome::Full);
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
    // Those without an end stay however late it is (TOC-83).
    let endless = Inbound { expires: None, named: true, ..inbound("", 0) };
    done(&mut store, Write::AddInbound { account: id, inbound: endless.clone() });
    let endless_too = Outbound { expires: None, ..outbound(BOB, "", 0) };
    done(&mut store, Write::PutOutbound { account: id, outbound: endless_too.clone() });
    done(&mut store, Write::Expire { leases: Date(50), items: Date(30) });
    let record = account(&store, ALICE).unwrap();
    assert_eq!(record.watched_by, [inbound("50", 50), endless]);
    assert_eq!(record.watching, [outbound(BOB, "50", 50), endless_too]);
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
    done(&mut store, insert(id, 1, mapping(b"x")));
    done(&mut store, Write::SetUntold { account: id, untold: true });
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

#[test]
fn a_statement_is_planned_once() {
    let (store, alice) = with_alice();
    let sql = "SELECT name, value FROM profile WHERE account = ?1 ORDER BY position";
    let statement = store.conn.prepare_cached(sql).unwrap();
    statement.reset_status(rusqlite::StatementStatus::RePrepare);
    drop(statement);
    for account in 0..5 {
        let mut statement = store.conn.prepare_cached(sql).unwrap();
        let _ = statement.exists([alice.0 + account]).unwrap();
        assert_eq!(statement.get_status(rusqlite::StatementStatus::RePrepare), 0);
    }
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
            && !s.contains("FROM untold u")
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

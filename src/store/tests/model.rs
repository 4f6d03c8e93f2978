//! Random batches against a model of plain maps: after each, whatever can be asked is what the model says.

use std::collections::BTreeMap;

use super::*;

const NAMES: [&str; 3] = ["a@example.org", "b@example.org", "c@example.org"];
const ROOM: Room = Room { messages: 3, octets: 20, stranger: false };

/// A write by the account's name: ids are known only once it is there.
#[derive(Debug, Clone)]
enum Step {
    Add,
    Remove,
    Lock(bool),
    Told(Option<i64>),
    Profile(Entries),
    Acl(Entries),
    EditMapping(MappingEdit),
    AddInbound(Inbound),
    RemoveInbound(Vec<(Address, String)>),
    PutOutbound(Outbound),
    RemoveOutbound(Address, Option<String>),
    AddItem(Item),
    RemoveItem(i64),
    Expire(i64),
}

#[derive(Debug, Clone)]
struct Known {
    record: AccountRecord,
    items: Vec<Item>,
}

fn pairs() -> impl Strategy<Value = Entries> {
    prop::collection::vec(("[a-c]", "[x-z]{0,2}"), 0..4)
}

fn expires() -> impl Strategy<Value = Option<Date>> {
    prop::option::of((0..9i64).prop_map(Date))
}

fn shown() -> impl Strategy<Value = Option<Shown>> {
    let document = (prop::option::of("[a-b]/[c-d]?"), prop::collection::vec(any::<u8>(), 0..4));
    let gist = (any::<Option<bool>>(), any::<Option<i64>>(), prop::option::of("[x-z]{0,2}"));
    prop::option::of((document, gist).prop_map(|((content_type, octets), (open, since, description))| {
        let gist = Gist { open, since: since.map(Date), description };
        Shown { document: Arc::new(Document { content_type, octets }), gist }
    }))
}

/// Numbers reach past both ends of the list.
fn edit() -> impl Strategy<Value = MappingEdit> {
    let class = || "([a-c]\n){0,2}";
    let at = || prop_oneof![9 => 0..6u32, 1 => Just(u32::MAX)];
    prop_oneof![
        5 => (at(), class(), shown())
            .prop_map(|(at, class, shown)| MappingEdit::Insert { at, mapping: Mapping { class, shown } }),
        2 => at().prop_map(|at| MappingEdit::Delete { at }),
        2 => (at(), shown()).prop_map(|(at, shown)| MappingEdit::SetShown { at, shown }),
        1 => (at(), class()).prop_map(|(at, class)| MappingEdit::SetClass { at, class }),
    ]
}

/// The same on a plain list; false if there is no such number.
fn apply_edit(list: &mut Vec<Mapping>, edit: MappingEdit) -> bool {
    let place = |at: u32| (at as usize).wrapping_sub(1);
    match edit {
        MappingEdit::Insert { at, mapping } if place(at) <= list.len() => list.insert(place(at), mapping),
        MappingEdit::Delete { at } if place(at) < list.len() => drop(list.remove(place(at))),
        MappingEdit::SetShown { at, shown } if place(at) < list.len() => list[place(at)].shown = shown,
        MappingEdit::SetClass { at, class } if place(at) < list.len() => list[place(at)].class = class,
        _ => return false,
    }
    true
}

fn step() -> impl Strategy<Value = Step> {
    let token = || "[t-v]";
    let watcher = || prop::sample::select(&NAMES[..]).prop_map(address);
    prop_oneof![
        3 => Just(Step::Add),
        1 => Just(Step::Remove),
        1 => any::<bool>().prop_map(Step::Lock),
        1 => prop::option::of(0..9i64).prop_map(Step::Told),
        2 => pairs().prop_map(Step::Profile),
        2 => pairs().prop_map(Step::Acl),
        9 => edit().prop_map(Step::EditMapping),
        3 => (watcher(), "[t-v]?", expires(), any::<bool>()).prop_map(|(watcher, token, expires, named)| {
            Step::AddInbound(Inbound { watcher, token, expires, named })
        }),
        1 => prop::collection::vec((watcher(), token()), 0..3).prop_map(Step::RemoveInbound),
        3 => (watcher(), token(), expires(), any::<bool>()).prop_map(|(presentity, token, expires, automatic)| {
            Step::PutOutbound(Outbound { presentity, token, expires, automatic })
        }),
        1 => (watcher(), prop::option::of(token())).prop_map(|(a, t)| Step::RemoveOutbound(a, t)),
        3 => (0..9i64, 0..9i64, prop::option::of(0..9usize)).prop_map(|(id, date, body)| {
            let item = body.map_or_else(|| failure(id, "x"), |length| message(id, &vec![7; length]));
            Step::AddItem(Item { date: Date(date), ..item })
        }),
        1 => (0..9i64).prop_map(Step::RemoveItem),
        1 => (0..5i64).prop_map(Step::Expire),
    ]
}

fn write(step: &Step, name: &str, account: AccountId) -> Write {
    let address = name.to_owned();
    match step.clone() {
        Step::Add => add(name),
        Step::Remove => Write::Admin(Change::RemoveAccount { address }),
        Step::Lock(locked) => Write::Admin(Change::SetLocked { address, locked }),
        Step::Told(since) => Write::SetToldOnline { account, since: since.map(Date) },
        Step::Profile(profile) => Write::SetProfile { account, profile },
        Step::Acl(acl) => Write::SetAcl { account, acl },
        Step::EditMapping(edit) => Write::EditMapping { account, edit },
        Step::AddInbound(inbound) => Write::AddInbound { account, inbound },
        Step::RemoveInbound(leases) => Write::RemoveInbound { account, leases },
        Step::PutOutbound(outbound) => Write::PutOutbound { account, outbound },
        Step::RemoveOutbound(presentity, token) => Write::RemoveOutbound { account, presentity, token },
        Step::AddItem(item) => Write::AddItem { account, item, room: Some(ROOM) },
        Step::RemoveItem(id) => Write::RemoveItem { account, id: ItemId(id) },
        Step::Expire(date) => Write::Expire { leases: Date(date), items: Date(date) },
    }
}

/// What the step does to the model. An account's id is put in when it is first read.
fn apply(model: &mut BTreeMap<String, Known>, name: &str, step: &Step) -> Outcome {
    let taken = |id: ItemId| move |known: &Known| known.items.iter().any(|item| item.id == id);
    match step {
        Step::Add if model.contains_key(name) => return Outcome::Exists,
        Step::Add => {
            let record = AccountRecord {
                id: AccountId(-1),
                address: address(name),
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
            model.insert(name.to_owned(), Known { record, items: vec![] });
            return Outcome::Done;
        }
        Step::Remove => return model.remove(name).map_or(Outcome::NotFound, |_| Outcome::Done),
        Step::Expire(date) => {
            for known in model.values_mut() {
                let lasts = |expires: Option<Date>| expires.is_none_or(|end| end.0 >= *date);
                known.record.watched_by.retain(|s| lasts(s.expires));
                known.record.watching.retain(|s| lasts(s.expires));
                known.items.retain(|i| matches!(i.kind, ItemKind::Message(_)) || i.date.0 >= *date);
            }
            return Outcome::Done;
        }
        Step::RemoveInbound(_) if !model.contains_key(name) => return Outcome::Done,
        Step::AddItem(item) if model.contains_key(name) && model.values().any(taken(item.id)) => {
            // Too many or too long comes before the name.
            return if is_full(&model[name], item) { Outcome::Full } else { Outcome::Exists };
        }
        _ => {}
    }
    let Some(known) = model.get_mut(name) else { return Outcome::NotFound };
    let record = &mut known.record;
    match step.clone() {
        // His watchers have yet to be told.
        Step::Lock(locked) => (record.locked, record.untold) = (locked, true),
        Step::Told(since) => record.told_online = since.map(Date),
        Step::Profile(profile) => record.profile = profile,
        Step::Acl(acl) => record.acl = Some(acl),
        Step::EditMapping(edit) => {
            return if apply_edit(&mut record.mappings, edit) { Outcome::Done } else { Outcome::NotFound };
        }
        Step::AddInbound(new)
            if record.watched_by.iter().any(|s| s.watcher == new.watcher && s.token == new.token) =>
        {
            return Outcome::Exists;
        }
        Step::AddInbound(new) => record.watched_by.push(new),
        Step::RemoveInbound(leases) => record
            .watched_by
            .retain(|s| !leases.iter().any(|(watcher, token)| *watcher == s.watcher && *token == s.token)),
        Step::PutOutbound(new) => {
            let same = |s: &&mut Outbound| s.presentity == new.presentity && s.token == new.token;
            match record.watching.iter_mut().find(same) {
                Some(old) => *old = new,
                None => record.watching.push(new),
            }
        }
        Step::RemoveOutbound(whose, token) => {
            let before = record.watching.len();
            record
                .watching
                .retain(|s| s.presentity != whose || token.as_ref().is_some_and(|t| *t != s.token));
            return if record.watching.len() < before { Outcome::Done } else { Outcome::NotFound };
        }
        Step::AddItem(item) if is_full(known, &item) => return Outcome::Full,
        Step::AddItem(item) => known.items.push(item),
        Step::RemoveItem(id) => {
            let before = known.items.len();
            known.items.retain(|item| item.id.0 != id);
            return if known.items.len() < before { Outcome::Done } else { Outcome::NotFound };
        }
        Step::Add | Step::Remove | Step::Expire(_) => {}
    }
    Outcome::Done
}

fn is_full(known: &Known, item: &Item) -> bool {
    let length = |item: &Item| match &item.kind {
        ItemKind::Message(message) => Some(message.body.len()),
        ItemKind::Failure { .. } => None,
    };
    let kept: Vec<usize> = known.items.iter().filter_map(length).collect();
    length(item).is_some_and(|new| {
        kept.len() >= ROOM.messages as usize || kept.iter().sum::<usize>() + new > ROOM.octets as usize
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn the_store_does_what_maps_do(
        batches in prop::collection::vec(
            (prop::collection::vec((0..NAMES.len(), step()), 1..6), prop::bool::weighted(0.2)),
            1..25,
        ),
    ) {
        let mut store = Store::memory(&key()).unwrap();
        let mut model = BTreeMap::new();
        for (steps, fails) in batches {
            // Ids as of before the batch: an account made within it is not named by id until the next one.
            let id = |name: &str| account(&store, name).map_or(AccountId(i64::MAX), |record| record.id);
            let ids = NAMES.map(id);
            let mut after = model.clone();
            let (mut writes, mut outcomes) = (Vec::new(), Vec::new());
            for (who, step) in &steps {
                let stale = after.get(NAMES[*who]).is_some_and(|k: &Known| k.record.id != ids[*who]);
                let by_name = matches!(step, Step::Add | Step::Remove | Step::Lock(_) | Step::Expire(_));
                if stale && !by_name {
                    continue;
                }
                writes.push(write(step, NAMES[*who], ids[*who]));
                outcomes.push(apply(&mut after, NAMES[*who], step));
            }
            if fails {
                // Rolled back as a whole, whatever was in it.
                store.conn.pragma_update(None, "query_only", true).unwrap();
                let committed = store.commit_batches(&[batch(1, writes)]);
                prop_assert_eq!(&committed[0].outcomes, &None);
                store.conn.pragma_update(None, "query_only", false).unwrap();
            } else {
                let committed = store.commit_batches(&[batch(1, writes)]);
                prop_assert_eq!(committed[0].outcomes.as_ref(), Some(&outcomes));
                model = after;
            }
            for name in NAMES {
                let record = account(&store, name);
                if let (Some(known), Some(record)) = (model.get_mut(name), &record) {
                    known.record.id = record.id;
                    known.record.waiting = known.items.len() as u32;
                }
                prop_assert_eq!(record.as_ref(), model.get(name).map(|known| &known.record));
                if let (Some(known), Some(record)) = (model.get(name), record) {
                    prop_assert_eq!(&items(&store, record.id, 100), &known.items);
                }
            }
        }
    }
}

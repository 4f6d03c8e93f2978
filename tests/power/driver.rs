//! The process that is recorded where no command will do: this test's own program once more, which changes a
//! store as the server's writer does, batch by batch.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use hearth::clock::Date;
use hearth::credential::Secret;
use hearth::hub::address::{Address, Domains};
use hearth::hub::op::Strength;
use hearth::sim::stage::password;
use hearth::store::record::{
    AccountId, Batch, Change, Document, Gist, Inbound, Item, ItemId, ItemKind, KeptMessage, Mapping,
    MappingEdit, Outbound, PeerRule, Read, Reading, Shown, Write,
};
use hearth::store::{DATABASE_FILE, KEY_FILE, KeyFile, Mode, Store};

use crate::trace::{Recorder, mark};

/// Batches that one life of the driver commits.
const BATCHES: usize = 24;

/// Runs the driver, recorded. Gives what the database held after each batch, the first time before any.
pub fn run(recorder: &Recorder, mode: &str) -> Vec<u64> {
    let states = recorder.trace.with_extension("states");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "driver::drive", "--nocapture"]).env("POWER_DRIVER", mode);
    command.env("POWER_STATES", &states);
    let output = recorder.watch(&mut command).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let text = std::fs::read_to_string(states).unwrap();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

/// Not a test, and nothing without the variable: what [`run`] runs.
#[test]
fn drive() {
    let Some(mode) = std::env::var_os("POWER_DRIVER") else { return };
    let place = |name: &str| PathBuf::from(std::env::var_os(name).expect(name));
    let (folder, trace) = (place("POWER_FOLDER"), place("POWER_TRACE"));
    let states = File::options().append(true).create(true).open(place("POWER_STATES")).unwrap();
    let mut driver = Driver { folder, trace, states, number: 0 };
    match mode.to_str() {
        Some("store") => {
            let key = KeyFile::create(&driver.folder.join(KEY_FILE), [7; 32]).unwrap();
            let store = Store::open(&driver.database(), &key, Mode::Create).unwrap();
            driver.live(store);
            // Closed and opened again: the log goes into the database, and a new one is begun.
            let store = Store::open(&driver.database(), &key, Mode::Open).unwrap();
            driver.live(store);
        }
        Some("upgrade") => {
            let key = KeyFile::load(&driver.folder.join(KEY_FILE)).unwrap();
            mark(&driver.trace, "begin upgrade");
            let store = Store::open(&driver.database(), &key, Mode::Open).unwrap();
            mark(&driver.trace, "done upgrade");
            drop(store);
        }
        other => panic!("what is {other:?}?"),
    }
}

struct Driver {
    folder: PathBuf,
    trace: PathBuf,
    states: File,
    number: usize,
}

impl Driver {
    fn database(&self) -> PathBuf {
        self.folder.join(DATABASE_FILE)
    }

    /// What the database holds now.
    fn note(&mut self) {
        let state = crate::contents(&self.database()).unwrap();
        writeln!(self.states, "{state}").unwrap();
    }

    fn live(&mut self, mut store: Store) {
        if self.number == 0 {
            self.note();
            mark(&self.trace, "done founded");
        }
        for _ in 0..BATCHES {
            self.number += 1;
            let account = match store.read(&Read::Account(address("u1@a.test"))) {
                Reading::Account(Some(record)) => record.id,
                _ => AccountId(1),
            };
            let batches = batches(self.number, account);
            mark(&self.trace, &format!("begin {}", self.number));
            let committed = store.commit_batches(&batches);
            assert!(committed.iter().all(|c| c.outcomes.is_some()));
            mark(&self.trace, &format!("done {}", self.number));
            self.note();
        }
    }
}

fn address(text: &str) -> Address {
    Address::parse(text, &Domains::default()).unwrap()
}

fn batch(number: usize, writes: Vec<Write>) -> Batch {
    Batch { number: number as u64, writes }
}

/// What one group commit writes: something of every kind in turn, large and small.
fn batches(number: usize, account: AccountId) -> Vec<Batch> {
    let (text, date) = (format!("text {number} ").repeat(40 * (number % 7 + 1)), Date(number as i64));
    let writes = match number % 8 {
        1 => {
            let address = format!("u{number}@a.test");
            let secret = Secret::new("secret".to_owned());
            vec![
                Write::Admin(Change::AddAccount { address: address.clone(), password: password("x"), date }),
                Write::Admin(Change::AddKey { address, label: "phone".to_owned(), secret, date }),
            ]
        }
        2 => vec![Write::SetProfile { account, profile: vec![("message".to_owned(), text.repeat(30))] }],
        3 => vec![Write::SetAcl { account, acl: vec![("everybody".to_owned(), "send".to_owned())] }],
        4 => vec![
            Write::AddInbound { account, inbound: inbound(number) },
            Write::PutOutbound { account, outbound: outbound(number) },
            Write::SetToldOnline { account, since: Some(date) },
        ],
        5 => vec![Write::EditMapping { account, edit: insert(&text) }],
        6 => {
            let message = KeptMessage {
                from: address("x@b.test"),
                reply_to: None,
                content_type: "text/plain".to_owned(),
                body: text.into_bytes(),
                native: None,
                strength: Strength::Strong,
                visited: String::new(),
            };
            let item = Item { id: ItemId(number as i64), date, kind: ItemKind::Message(message) };
            vec![Write::AddItem { account, item, room: None }]
        }
        7 => {
            let rule = Some(PeerRule::Deny);
            let domain = format!("d{number}.test");
            vec![
                Write::Admin(Change::SetPeerRule { domain, rule }),
                Write::RemoveItem { account, id: ItemId(number as i64 - 1) },
            ]
        }
        _ => vec![Write::RemoveInbound {
            account,
            leases: vec![(address("x@b.test"), format!("t{}", number - 4))],
        }],
    };
    // Two batches in one transaction, as when the disk was slow.
    let profile = Write::SetUntold { account, untold: number.is_multiple_of(2) };
    vec![batch(2 * number, writes), batch(2 * number + 1, vec![profile])]
}

fn inbound(number: usize) -> Inbound {
    Inbound { watcher: address("x@b.test"), token: format!("t{number}"), expires: Some(Date(9)), named: true }
}

fn outbound(number: usize) -> Outbound {
    Outbound { presentity: address("x@b.test"), token: format!("t{number}"), expires: None, automatic: false }
}

fn insert(text: &str) -> MappingEdit {
    let document = Arc::new(Document { content_type: None, octets: text.as_bytes().to_vec() });
    let shown = Some(Shown { document, gist: Gist::default() });
    MappingEdit::Insert { at: 1, mapping: Mapping { class: "*".to_owned(), shown } }
}

/// Opens what a loss of power has left, as a server does that starts, and says what it holds.
pub fn open_left(folder: &Path) -> Result<u64, String> {
    let key = KeyFile::load(&folder.join(KEY_FILE)).map_err(|e| e.to_string())?;
    let database = folder.join(DATABASE_FILE);
    let store = Store::open(&database, &key, Mode::Open).map_err(|e| e.to_string())?;
    crate::check_integrity(&database);
    let state = crate::contents(&database)?;
    drop(store);
    Ok(state)
}

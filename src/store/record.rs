//! The store's nouns: what is read, what is written, and what came of it.
//!
//! Reads and writes are plain data, so that they cross threads, the control socket and the simulated
//! disk alike. Writes of one tick travel together as a [`Batch`] and are committed together; nothing
//! they promise is answered before [`Committed`] comes back.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::Date;
use crate::credential::{PasswordRecord, Secret};
use crate::hub::address::{Address, Domain};
use crate::hub::op::Strength;

/// The row of an account; never used again after the account is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AccountId(pub i64);

/// Who may watch a user of ours from another domain (design 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WatcherPolicy {
    /// Nobody whom the owner has not let in.
    Refuse,
    /// As `Refuse`, and the watcher is let in once the owner watches him back.
    #[default]
    Ask,
    /// Anybody.
    Allow,
}

/// A string-to-string map in the order it was given: a profile, or an access control list.
pub type Entries = Vec<(String, String)>;

/// Everything about an account that its home server needs in memory while it is in use.
#[derive(Debug, Clone, PartialEq)]
pub struct AccountRecord {
    /// Its row.
    pub id: AccountId,
    /// Its canonical address.
    pub address: Address,
    /// Locked accounts can't log in and count as unknown to everybody else.
    pub locked: bool,
    /// Who may watch him by default.
    pub watchers: WatcherPolicy,
    /// Are messages kept for him while he is away?
    pub keeps_messages: bool,
    /// The access control list he set, or none if he never did.
    pub acl: Option<Entries>,
    /// His profile.
    pub profile: Entries,
    /// When the online period began that his watchers were last told of, if they were.
    pub told_online: Option<Date>,
    /// Watchers may not have been told yet of the last change of what they see.
    pub untold: bool,
    /// Who sees which of his presence documents: in order, number 1 first; the first that fits a watcher
    /// decides.
    pub mappings: Vec<Mapping>,
    /// Subscriptions to his presence.
    pub watched_by: Vec<Inbound>,
    /// Subscriptions he holds to the presence of others.
    pub watching: Vec<Outbound>,
    /// Reports and kept messages that wait for him.
    pub waiting: u32,
}

/// A presence document as it was published: octets and type are kept unchanged (TOC-93).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its MIME type with parameters, as it was given; none: the protocol's default.
    pub content_type: Option<String>,
    /// Its octets.
    pub octets: Vec<u8>,
}

/// What a document says, in the hub's words; taken from it when it was published. Nothing is known where
/// it says nothing, or in a format that is not read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gist {
    /// Can the user be written to?
    pub open: Option<bool>,
    /// Since when he is online.
    pub since: Option<Date>,
    /// What he says of himself.
    pub description: Option<String>,
}

/// One mapping of a presentity: who sees what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The patterns of the watchers it is for, in the order and spelling given, one a line; nobody if empty.
    pub class: String,
    /// What they see; none: nothing, they are denied.
    pub shown: Option<Shown>,
}

/// What the watchers of a mapping see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The document.
    pub document: Arc<Document>,
    /// What it says.
    pub gist: Gist,
}

/// One edit of the list of mappings, by number: from 1 without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MappingEdit {
    /// A new mapping becomes number `at`, at most one more than there are; the ones from there on move up.
    Insert {
        /// Its number.
        at: u32,
        /// The mapping.
        mapping: Mapping,
    },
    /// It goes, and the ones after it move down.
    Delete {
        /// Its number.
        at: u32,
    },
    /// What its watchers see.
    SetShown {
        /// Its number.
        at: u32,
        /// None: they are denied.
        shown: Option<Shown>,
    },
    /// Who its watchers are.
    SetClass {
        /// Its number.
        at: u32,
        /// As in [`Mapping`].
        class: String,
    },
}

/// A subscription to the presence of one of our users; one per watcher and token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbound {
    /// Who watches.
    pub watcher: Address,
    /// What proves the right to end it (OC-42), or tells his connections apart (`named`).
    pub token: String,
    /// When its lease is over; none: it lasts until it is ended.
    pub expires: Option<Date>,
    /// The watcher's server gave the token, a connection-id that may be empty: each is told by itself.
    pub named: bool,
}

/// A subscription that one of our users holds to somebody's presence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbound {
    /// Who is watched.
    pub presentity: Address,
    /// What the presentity's home server gave out for it.
    pub token: String,
    /// When its lease is over; none: it lasts until it is ended.
    pub expires: Option<Date>,
    /// Asked for by the server, for a contact list (SIMP-15-1) or as long as a connection lasts (PITP-11.7-5): it is
    /// written down so that it can be ended after a crash.
    pub automatic: bool,
}

/// The name of a report or kept message: drawn at random, unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ItemId(pub i64);

/// Something that waits for a user's next login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its name.
    pub id: ItemId,
    /// When it was written down.
    pub date: Date,
    /// What it is.
    pub kind: ItemKind,
}

/// What can wait for a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemKind {
    /// A message of his could not be delivered, and he could not be told at the time.
    Failure {
        /// To whom it had gone.
        recipient: Address,
        /// When he had sent it.
        sent: Date,
        /// Why it failed: a [`Refusal`](crate::hub::op::Refusal) in words.
        reason: String,
    },
    /// A message that came while he was away.
    Message(KeptMessage),
}

/// How many messages are kept for a user at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Messages.
    pub messages: u32,
    /// Octets of all of them.
    pub octets: u32,
    /// The sender is of another domain, and the user does not watch him: those of one domain get half of it at most,
    /// all of them three quarters.
    pub stranger: bool,
}

/// What the store has of the calendar of leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeptCalendar {
    /// By how much the wall clock was ahead of it when that was last written down ([`Write::SetCalendar`]):
    /// milliseconds, 0 if it never was.
    pub ahead: i64,
    /// When, by the calendar, the last of all leases is over.
    pub latest: Option<Date>,
}

/// A message kept for a user who is away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptMessage {
    /// Who sent it.
    pub from: Address,
    /// Where answers go, if not to `from`.
    pub reply_to: Option<Address>,
    /// The MIME type of the body.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
    /// The family's own form: its name, and its octets, for recipients of the same family.
    pub native: Option<(u8, Vec<u8>)>,
    /// How sure it is that `from` has sent it.
    pub strength: Strength,
    /// The domains that it had passed through, separated by white space.
    pub visited: String,
}

/// A kept message that nobody has come for in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiredMessage {
    /// For whom it was kept.
    pub account: AccountId,
    /// Its name.
    pub item: ItemId,
    /// His address.
    pub recipient: Address,
    /// Who sent it.
    pub sender: Address,
    /// When.
    pub sent: Date,
}

/// A subscription of a user of ours that the server has asked for by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Its row.
    pub row: i64,
    /// Whose.
    pub account: AccountId,
    /// His address.
    pub watcher: Address,
    /// The subscription.
    pub outbound: Outbound,
}

/// What a login is checked against.
#[derive(Debug, Clone)]
pub struct CredentialRecord {
    /// Whose they are.
    pub account: AccountId,
    /// The canonical address.
    pub address: Address,
    /// Locked accounts fail like unknown ones.
    pub locked: bool,
    /// The password's verifiers.
    pub password: PasswordRecord,
    /// The device keys, opened.
    pub keys: Vec<DeviceKey>,
}

/// A revocable secret made for one device.
#[derive(Debug, Clone)]
pub struct DeviceKey {
    /// Its name, unique within the account.
    pub label: String,
    /// The secret.
    pub secret: Secret,
    /// When it was made.
    pub made: Date,
}

/// What the operator says of a peer domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PeerRule {
    /// Talked to even if only allowed domains are.
    Allow,
    /// Never talked to.
    Deny,
}

/// A question to the store, answered from a reader of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// An account, for the hub.
    Account(Address),
    /// What a login is checked against.
    Credentials(Address),
    /// What waits for a login, oldest first, at most `limit`.
    Items {
        /// For whom.
        account: AccountId,
        /// How many at once.
        limit: u32,
        /// Without so many of the oldest.
        skip: u32,
    },
    /// All rules about peers; read once at the start.
    PeerRules,
    /// Accounts whose watchers were last told that they are online, or have yet to be told something; read once
    /// at the start.
    ToldOnline,
    /// Messages kept since before a date, oldest first.
    ExpiredMessages {
        /// Kept before this.
        before: Date,
        /// How many at once.
        limit: u32,
    },
    /// Subscriptions of our users that the server has asked for by itself, in the order of their rows.
    Leftovers {
        /// Behind this row.
        after: i64,
        /// How many at once.
        limit: u32,
    },
}

/// An answer to a [`Read`], of the same name.
#[derive(Debug, Clone)]
pub enum Reading {
    /// None: no such account.
    Account(Option<Box<AccountRecord>>),
    /// None: no such account.
    Credentials(Option<Box<CredentialRecord>>),
    /// What waits.
    Items(Vec<Item>),
    /// The rules.
    PeerRules(Vec<(Domain, PeerRule)>),
    /// Of `ToldOnline`.
    Addresses(Vec<Address>),
    /// Of `ExpiredMessages`.
    Expired(Vec<ExpiredMessage>),
    /// Of `Leftovers`.
    Leftovers(Vec<Leftover>),
    /// The disk or the database failed; the cause is in the log.
    Failed,
}

/// A change to what is kept.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// The operator's.
    Admin(Change),
    /// Replaces the profile.
    SetProfile {
        /// Whose.
        account: AccountId,
        /// All of it.
        profile: Entries,
    },
    /// Replaces the access control list.
    SetAcl {
        /// Whose.
        account: AccountId,
        /// All of it.
        acl: Entries,
    },
    /// Notes by how much the wall clock is ahead of the calendar of leases.
    SetCalendar {
        /// Milliseconds.
        ahead: i64,
    },
    /// Notes what the watchers were last told, so that a restart can set it right.
    SetToldOnline {
        /// Whose.
        account: AccountId,
        /// Since when, if online.
        since: Option<Date>,
    },
    /// Notes that watchers have yet to be told something, or that all have been. `NotFound` if
    /// the account is not there.
    SetUntold {
        /// Whose watchers.
        account: AccountId,
        /// Have they yet to be told?
        untold: bool,
    },
    /// Changes the list of mappings. `NotFound` if the account or the number is not there.
    EditMapping {
        /// Whose.
        account: AccountId,
        /// How.
        edit: MappingEdit,
    },
    /// Adds a subscription to the presence of a user of ours. `Exists` if there is one of that watcher with
    /// that token.
    AddInbound {
        /// The presentity.
        account: AccountId,
        /// The subscription.
        inbound: Inbound,
    },
    /// Ends subscriptions; unknown ones are passed over.
    RemoveInbound {
        /// The presentity.
        account: AccountId,
        /// Watchers and tokens.
        leases: Vec<(Address, String)>,
    },
    /// Notes a subscription of a user of ours; replaces the one to the same presentity with the same token.
    PutOutbound {
        /// The watcher.
        account: AccountId,
        /// The subscription.
        outbound: Outbound,
    },
    /// Forgets one. `NotFound` if there is none.
    RemoveOutbound {
        /// The watcher.
        account: AccountId,
        /// The presentity.
        presentity: Address,
        /// The token, or all to that presentity.
        token: Option<String>,
    },
    /// Keeps a report or a message for the account's next login. `NotFound` if the account is gone,
    /// `Full` if it is a message and one of the bounds would be passed, `Exists` if the name is taken.
    AddItem {
        /// For whom.
        account: AccountId,
        /// What.
        item: Item,
        /// Bounds for messages.
        room: Option<Room>,
    },
    /// The user has it now. `NotFound` if he already had.
    RemoveItem {
        /// Whose.
        account: AccountId,
        /// Which.
        id: ItemId,
    },
    /// Deletes leases that ended before `leases` and failures older than `items`; kept messages of that
    /// age are deleted one by one, since somebody may have to hear of it.
    /// it is to be repeated from time to time.
    Expire {
        /// Leases that ended before this are over.
        leases: Date,
        /// Failures written before this are too old.
        items: Date,
    },
}

/// A change made by the operator: on the command line when the server is down, else through the
/// control socket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// `hearth user add`; `Exists` if he does.
    AddAccount {
        /// Canonical.
        address: String,
        /// Its password's verifiers.
        password: PasswordRecord,
        /// When.
        date: Date,
    },
    /// `hearth user del`: with everything that is his.
    RemoveAccount {
        /// Canonical.
        address: String,
    },
    /// `hearth user passwd`.
    SetPassword {
        /// Canonical.
        address: String,
        /// The new verifiers.
        password: PasswordRecord,
    },
    /// `hearth user lock`, `unlock`.
    SetLocked {
        /// Canonical.
        address: String,
        /// Locked?
        locked: bool,
    },
    /// `hearth user set`.
    SetWatchers {
        /// Canonical.
        address: String,
        /// Who may watch him.
        watchers: WatcherPolicy,
    },
    /// `hearth user set`.
    SetKeepsMessages {
        /// Canonical.
        address: String,
        /// Are messages kept while he is away?
        keeps: bool,
    },
    /// `hearth user key add`; `Exists` if the label is taken.
    AddKey {
        /// Canonical.
        address: String,
        /// Unique within the account.
        label: String,
        /// The secret, sealed before it is stored.
        secret: Secret,
        /// When.
        date: Date,
    },
    /// `hearth user key del`.
    RemoveKey {
        /// Canonical.
        address: String,
        /// Which.
        label: String,
    },
    /// `hearth peer allow`, `deny`; none forgets the rule.
    SetPeerRule {
        /// Canonical.
        domain: String,
        /// The rule.
        rule: Option<PeerRule>,
    },
}

/// What came of one write of a committed batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Done.
    Done,
    /// There is no such account, key, or rule.
    NotFound,
    /// There is one already.
    Exists,
    /// There is no room for more messages.
    Full,
}

/// The writes of one tick, committed together.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Its number: one more than the last one's.
    pub number: u64,
    /// The writes, in order.
    pub writes: Vec<Write>,
}

/// What became of a batch: an outcome for each write, or nothing of it was kept (a full disk, say).
#[derive(Debug, Clone)]
pub struct Committed {
    /// The batch's number.
    pub number: u64,
    /// In the order of the writes; `None`: the batch was rolled back.
    pub outcomes: Option<Vec<Outcome>>,
}

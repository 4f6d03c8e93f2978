//! The hub: accounts, endpoints, messages, presence and subscriptions, in no protocol's words.
//!
//! ```text
//!   adapter --- request, answered, attach, … ---> Hub --- Outlet: answer, deliver, forward, … ---> adapter
//!                                                  |
//!                              Read, Batch of Writes (answered when committed)
//! ```
//!
//! * [`delivery`](self): who gets what; the rules on one page.
//! * `account`, `endpoint`: users of ours in memory, and their live contacts.
//! * `subscription`, `granting`, `telling`: who watches our users, and what they are told; `mappings`: who sees what.
//! * `watching`, `contacts`: whom our users watch; `ending`: what of that has to be ended elsewhere.
//! * `reading`: what the store is asked, and what waits for that. `items`: what waits for a login; `own`: what a user and the operator change.
//! * `transaction`: requests on their way; `holding`: how much of them is in memory; `remote`: those that other domains' servers have yet to answer.
//!
//! Nothing here does I/O, reads a clock or draws its own randomness: [`Hub::new`] takes a seed.

mod account;
pub mod acl;
pub mod address;
mod calendar;
mod contacts;
mod delivery;
mod ending;
mod endpoint;
pub mod fuzz;
mod gauge;
mod granting;
mod holding;
mod items;
mod later;
mod lists;
mod mappings;
pub mod op;
mod own;
pub mod pattern;
mod reading;
mod remote;
mod room;
mod subscription;
mod telling;
mod transaction;
mod watching;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use compact_str::CompactString;
use foldhash::fast::FixedState;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use crate::clock::{Date, Now, Tick};
use crate::federation::Traffic;
use crate::limits::{self, Limits};
use crate::node::io::ControlId;
use crate::store::record::{
    AccountId, Batch, Change, Committed, Entries, Inbound, ItemId, ItemKind, KeptCalendar, Outbound, Outcome,
    Read, Write,
};
use crate::table::Table;
use crate::timers::Timers;
use account::{Account, Accounts, Endpoint};
use address::{Address, BadAddress, Domains};
use calendar::Calendar;
use delivery::To;
use ending::Endings;
use granting::Granting;
use holding::Holding;
use later::Later;
use op::{Answer, EndpointId, Envelope, Handle, News, Origin, Refusal, Reply, Seat, TxId};
use remote::Remote;
use transaction::Transactions;

pub use account::AccountKey;
pub use mappings::Edit;
pub use subscription::Holder;
use telling::Marks;
pub use transaction::Kind;

/// What `inquire` tells of this server (OC-67).
pub const PRODUCT: &str = "hearth, a home server for instant messaging";

/// What a sender is told of a message that waits for a recipient who is away.
pub const KEPT: &str = "kept until the recipient is back";

/// The proof of an endpoint that came in by the account's password.
pub const PASSWORD: &str = "password";

/// How long users may take to come back after a restart before their watchers hear that they have not.
const RETURN: std::time::Duration = std::time::Duration::from_secs(30);

/// Kept messages that one sweep finds too old at most.
const EXPIRED: u32 = 1000;

/// How many of them are looked at at once, and how long until the next lot, or until what the store would not
/// take is tried again.
const RETURN_AT_ONCE: usize = 500;
const AGAIN: std::time::Duration = std::time::Duration::from_secs(1);

/// How often leases that are over and old items are swept from the store: short ones may be asked for as fast as
/// the store takes them.
const SWEEP: std::time::Duration = std::time::Duration::from_secs(300);

/// The proof of an endpoint that came in by a device key.
pub fn key_proof(label: &str) -> CompactString {
    compact_str::format_compact!("key:{label}")
}

/// What the hub asks for by itself, and hears of when it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// A watcher is told of a change.
    Notify {
        /// Of whose presence.
        key: AccountKey,
        /// Which of his watchers.
        watch: u32,
        /// Tells this use of the slot from another.
        serial: u32,
    },
    /// Somebody is watched for a user.
    Watch {
        /// Which user.
        key: AccountKey,
        /// For what of his.
        holder: Holder,
        /// Tells this request from another.
        ask: u32,
    },
    /// A subscription of a user of ours ends elsewhere.
    End {
        /// Which end.
        ending: u32,
    },
    /// An item is delivered.
    Item {
        /// To whom.
        key: AccountKey,
        /// Which.
        item: ItemId,
    },
}

/// Who answers.
#[derive(Debug, Clone, Copy)]
pub enum Leg<'a> {
    /// An endpoint.
    Endpoint(EndpointId),
    /// A peer ([`crate::federation::peer`]).
    Remote(&'a str),
}

/// What a [`Read`] of the hub's is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// An account that something waits for.
    Account(Address),
    /// What waits for a user.
    Items(AccountKey),
    /// Who was told to be online when the server last ran.
    ToldOnline,
    /// Kept messages that are too old.
    Expired,
    /// Subscriptions elsewhere that an earlier run has left.
    Leftovers,
}

/// What the hub wants done at once. Implementations only queue octets and jobs; they never call back.
pub trait Outlet {
    /// Answers a peer's request of somebody; false if he is no longer there.
    fn answer(&mut self, handle: Handle, tag: &str, kind: Kind, of: &Address, reply: &Reply<'_>) -> bool;
    /// Hands a request to an endpoint.
    ///
    /// # Errors
    /// If it can't be said in the endpoint's protocol.
    fn deliver(&mut self, handle: Handle, tx: TxId, envelope: &Envelope<'_>) -> Result<(), Refusal>;
    /// Hands a request to the home server of another domain, or will as soon as it is connected. `peer` names it
    /// and the domain of ours that it is for ([`crate::federation::peer`]). Which server
    /// that is may depend on [`Kind::traffic`].
    ///
    /// # Errors
    /// If that domain is not talked to, or too much waits for it already.
    fn forward(&mut self, peer: &str, tx: TxId, envelope: &Envelope<'_>) -> Result<(), Refusal>;
    /// Tells an endpoint some news.
    fn tell(&mut self, handle: Handle, news: News<'_>);
    /// Asks the store; [`Hub::read_done`] follows.
    fn read(&mut self, read: Read, purpose: Purpose);
    /// The account asked for by [`Hub::prepare`] is in memory; or there is none, or it is locked.
    fn ready(&mut self, handle: Handle, key: Option<AccountKey>);
    /// The hub has done with an endpoint: close it.
    fn close(&mut self, handle: Handle);
    /// Answers the operator.
    fn admin(&mut self, id: ControlId, change: &Change, outcome: Result<Outcome, String>);
}

/// What waits for an account to be read.
#[derive(Debug)]
enum Parked {
    Request {
        origin: Origin,
        envelope: Box<Envelope<'static>>,
        arrived: Tick,
    },
    Login(Handle),
    /// To be written down for him, in place of a kept message of somebody's.
    Failure {
        kind: ItemKind,
        replaces: Option<(AccountId, ItemId)>,
    },
    /// Nothing but the reading itself.
    Look,
}

/// An address of ours that is in use.
#[derive(Debug)]
enum Name {
    Here(AccountKey),
    /// Being read, since this state of the operator's changes.
    Loading(Vec<Parked>, Epoch),
}

/// Counts the operator's changes: what was read before one of them may be out of date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Epoch(u64);

/// What to do when a write is committed, or could not be.
#[derive(Debug)]
enum Then {
    Nothing,
    Subscribed { key: AccountKey, origin: Origin, inbound: Inbound, millis: Option<i64> },
    Unsubscribed { key: AccountKey, origin: Origin, watcher: Address, token: String },
    Dropped { key: AccountKey, origin: Origin, watcher: Address, token: Option<String> },
    Remembered { key: AccountKey, origin: Origin, outbound: Outbound, reply: Box<Reply<'static>> },
    JumpNoted { ahead: i64 },
    Told { key: AccountKey, since: Option<Date> },
    Untold { key: AccountKey },
    Noted { key: AccountKey, holder: Holder, presentity: Address },
    Forgotten { key: AccountKey, origin: Origin, envelope: Box<Envelope<'static>> },
    EndKept { key: AccountKey, origin: Origin, to: Box<To>, envelope: Box<Envelope<'static>> },
    Edited { key: AccountKey },
    ProfileSet { key: AccountKey, origin: Origin, profile: Entries, contacts: Vec<Address> },
    AclSet { key: AccountKey, origin: Origin, acl: Box<(Entries, acl::AccessList)> },
    Kept { key: AccountKey, origin: Origin, from: Address },
    FailureKept { key: AccountKey, kind: ItemKind },
    ItemGone { key: AccountKey },
    Admin { id: ControlId, change: Change },
}

/// What a timer is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Endpoint(EndpointId),
    Remote(Arc<str>, Traffic),
    Account(AccountKey),
    /// The first `ok` to a message is the last word now.
    Decided(TxId),
    Refusals,
    Return,
    /// The store did not say who was online.
    Missing,
    Reports,
    /// What the store would not take is written again.
    Notes,
    Leftovers,
    /// The end of a subscription elsewhere is tried again.
    Ending(u32),
    Sweep,
    /// More watchers are to be told than was good at once.
    Tell,
}

/// Counts from the start of the server.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counters {
    /// Messages that somebody wanted delivered.
    pub messages: u64,
    /// Of those, delivered.
    pub messages_delivered: u64,
    /// Of those, refused or failed.
    pub messages_refused: u64,
    /// Of those, kept for a login.
    pub messages_kept: u64,
    /// Notifications sent to watchers.
    pub notifications: u64,
    /// Endpoints that came.
    pub logins: u64,
    /// Batches committed.
    pub batches: u64,
    /// Batches that failed.
    pub batches_failed: u64,
}

/// The account is gone to which the change belongs that somebody waits for.
fn orphaned(origin: Origin, kind: Kind, out: &mut impl Outlet) {
    if let Origin::Peer { handle, tag } = origin {
        let nobody = Address::of("", "");
        out.answer(handle, &tag, kind, &nobody, &Reply::ours(Answer::refused(Refusal::NotFound)));
    }
}

/// Reads the contact list off a profile, in order: the protocol that has profiles knows how.
pub type Contacts = fn(&Entries, &Domains) -> Vec<Address>;

/// The heart of a home server.
pub struct Hub {
    domains: Domains,
    /// Our own address in each of them.
    notifiers: Vec<Address>,
    limits: Limits,
    /// Take news of presence that nobody asked for (the draft's open routing connections, OC-04).
    open: bool,
    contacts: Contacts,
    accounts: Accounts,
    names: Table<Address, Name>,
    endpoints: slab::Slab<Endpoint>,
    transactions: Transactions,
    holding: Holding,
    /// Users for whom [`limits::REPORTS`] wait.
    swamped: BTreeSet<Address>,
    remotes: HashMap<Arc<str>, Box<Remote>, FixedState>,
    granting: Granting,
    endings: Endings,
    /// Counts what is asked for by [`Errand::Watch`].
    asks: u32,
    calendar: Calendar,
    timers: Timers<Due>,
    refusals: BTreeMap<(Tick, u64), Later>,
    refused: u64,
    /// When the request came that is being answered, if it had to wait for its recipient to be read.
    arrived: Option<Tick>,
    /// Reports that the store would not take; tried again.
    unreported: Vec<(Address, ItemKind)>,
    epoch: Epoch,
    dirty: Vec<AccountKey>,
    /// Octets of news in this tick, about.
    told: usize,
    marks: Marks,
    writes: Vec<Write>,
    thens: Vec<Then>,
    committing: VecDeque<(u64, Vec<Then>)>,
    batch: u64,
    /// Users who were online when the server last ended, and have time to come back.
    expected: VecDeque<Address>,
    returning: bool,
    random: ChaCha20Rng,
    online: usize,
    /// Counted from the start.
    pub counters: Counters,
}

impl Hub {
    /// An empty hub; [`Hub::start`] sets it going.
    pub fn new(domains: Domains, limits: Limits, open: bool, contacts: Contacts, seed: [u8; 32]) -> Hub {
        let mut random = ChaCha20Rng::from_seed(seed);
        let names = Table::new(random.next_u64());
        let remotes = HashMap::with_hasher(FixedState::with_seed(random.next_u64()));
        let holding = random.next_u64();
        let notifiers = domains.iter().map(|domain| Address::of(op::NOTIFIER, domain.as_str())).collect();
        Hub {
            domains,
            notifiers,
            limits,
            open,
            contacts,
            accounts: Accounts::default(),
            names,
            endpoints: slab::Slab::new(),
            transactions: Transactions::default(),
            holding: Holding::new(holding),
            swamped: BTreeSet::new(),
            remotes,
            granting: Granting::default(),
            endings: Endings::default(),
            asks: 0,
            calendar: Calendar::resume(Now::default(), KeptCalendar::default()),
            timers: Timers::default(),
            refusals: BTreeMap::new(),
            refused: 0,
            arrived: None,
            unreported: Vec::new(),
            epoch: Epoch::default(),
            dirty: Vec::new(),
            told: 0,
            marks: Marks::default(),
            writes: Vec::new(),
            thens: Vec::new(),
            committing: VecDeque::new(),
            batch: 0,
            expected: VecDeque::new(),
            returning: true,
            random,
            online: 0,
            counters: Counters::default(),
        }
    }

    /// Goes on from what the store has of the calendar of leases, and asks it what the last run left to be put right.
    pub fn start(&mut self, now: Now, kept: KeptCalendar, out: &mut impl Outlet) {
        self.calendar = Calendar::resume(now, kept);
        out.read(Read::ToldOnline, Purpose::ToldOnline);
        self.look_for_leftovers(now, out);
        self.timers.arm(now.tick + RETURN, Due::Return);
        self.timers.arm(now.tick, Due::Sweep);
    }

    /// New limits and rules.
    pub fn reconfigure(&mut self, limits: Limits, open: bool) {
        self.limits = limits;
        self.open = open;
    }

    /// The domains served.
    pub fn domains(&self) -> &Domains {
        &self.domains
    }

    /// Turns the text of an address into the address; cheap for users who are online.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn locate(&self, text: &str) -> Result<Address, BadAddress> {
        match self.names.get_key_value(text) {
            Some((address, _)) => Ok(address.clone()),
            None => Address::parse(text, &self.domains),
        }
    }

    /// Users online, endpoints, accounts in memory, requests that wait.
    pub fn sizes(&self) -> (usize, usize, usize, usize) {
        (self.online, self.endpoints.len(), self.accounts.len(), self.transactions.len())
    }

    fn loaded(&self, address: &Address) -> Option<AccountKey> {
        match self.names.get(address) {
            Some(Name::Here(key)) => Some(*key),
            Some(Name::Loading(..)) | None => None,
        }
    }

    /// The end of a tick: watchers are told, and the tick's writes become a batch.
    pub fn settle(&mut self, now: Now, out: &mut impl Outlet) -> Option<Batch> {
        self.told = 0;
        while !self.dirty.is_empty() && self.told < limits::TOLD_AT_ONCE {
            for key in std::mem::take(&mut self.dirty) {
                self.notify_watchers(now, key, out);
                self.may_forget(key);
            }
        }
        if !self.dirty.is_empty() {
            self.timers.arm(now.tick, Due::Tell);
        }
        self.forget_idle();
        self.note_jump(now);
        if self.writes.is_empty() {
            return None;
        }
        self.batch += 1;
        self.committing.push_back((self.batch, std::mem::take(&mut self.thens)));
        Some(Batch { number: self.batch, writes: std::mem::take(&mut self.writes) })
    }

    /// Is everything that was written committed?
    pub fn is_settled(&self) -> bool {
        self.writes.is_empty() && self.committing.is_empty()
    }

    /// A batch was committed or rolled back: what waited for it goes on.
    pub fn committed(&mut self, now: Now, committed: Committed, out: &mut impl Outlet) {
        let Some((number, thens)) = self.committing.pop_front() else { return };
        debug_assert_eq!(number, committed.number, "batches are answered in order");
        match committed.outcomes {
            Some(_) => self.counters.batches += 1,
            None => self.counters.batches_failed += 1,
        }
        let mut outcomes = committed.outcomes.map(Vec::into_iter);
        for then in thens {
            let outcome = outcomes.as_mut().and_then(Iterator::next);
            self.then(now, then, outcome, out);
        }
    }

    fn then(&mut self, now: Now, then: Then, outcome: Option<Outcome>, out: &mut impl Outlet) {
        match then {
            Then::Nothing => {}
            Then::Subscribed { key, origin, inbound, millis } => {
                self.unsettle(key);
                self.granted(now, key, origin, (inbound, millis), outcome, out);
            }
            Then::Unsubscribed { key, origin, watcher, token } => {
                self.unsettle(key);
                self.unsubscribed(now, key, origin, watcher, &token, outcome.is_some(), out);
            }
            Then::Dropped { key, origin, watcher, token } => {
                self.unsettle(key);
                match outcome {
                    Some(_) => self.dropped(now, key, origin, &watcher, token.as_deref(), out),
                    None => self.own_reply(now, key, origin, Kind::Own, None, outcome, out),
                }
            }
            Then::Remembered { key, origin, outbound, mut reply } => {
                let presentity = outbound.presentity.clone();
                if outcome != Some(Outcome::Done) {
                    self.not_remembered(now, key, outbound, out);
                    *reply = Reply::ours(Answer::refused(Refusal::Resources));
                }
                self.unsettle(key);
                if let Origin::Peer { handle, tag } = origin {
                    out.answer(handle, &tag, Kind::Subscribe, &presentity, &reply);
                }
            }
            Then::Forgotten { key, origin, envelope } => {
                self.unsettle(key);
                self.forgotten(now, key, origin, *envelope, outcome, out);
            }
            Then::EndKept { key, origin, to, envelope } => {
                self.unsettle(key);
                if self.accounts.get(key).is_none() {
                    return orphaned(origin, Kind::End, out);
                }
                self.fan_out(now, origin, key, *to, *envelope, out);
            }
            Then::JumpNoted { ahead } => self.jump_noted(now, ahead, outcome.is_some()),
            Then::Told { key, since } => self.told_noted(now, key, since, outcome.is_some()),
            Then::Untold { key } => self.untold_noted(key, outcome.is_some()),
            Then::Noted { key, holder, presentity } => self.noted(now, key, holder, presentity, outcome),
            Then::Edited { key } => {
                self.unsettle(key);
                self.edited(now, key, outcome, out);
            }
            Then::ProfileSet { key, origin, profile, contacts } => {
                self.settled(key);
                self.own_reply(now, key, origin, Kind::Own, None, outcome, out);
                if outcome == Some(Outcome::Done) {
                    self.profile_set(now, key, profile, contacts, out);
                }
            }
            Then::AclSet { key, origin, acl } => {
                self.settled(key);
                self.own_reply(now, key, origin, Kind::Own, None, outcome, out);
                if outcome == Some(Outcome::Done) {
                    self.acl_set(now, key, acl, out);
                }
            }
            Then::Kept { key, origin, from } => {
                self.unsettle(key);
                self.kept(now, key, origin, &from, outcome, out);
            }
            Then::FailureKept { key, kind } => {
                self.unsettle(key);
                self.failure_kept(now, key, kind, outcome, out);
            }
            Then::ItemGone { key } => {
                self.unsettle(key);
                self.item_gone(key, outcome.is_some(), out);
            }
            Then::Admin { id, change } => {
                if outcome == Some(Outcome::Done) {
                    self.epoch.0 += 1;
                    self.admin_done(now, &change, out);
                }
                out.admin(id, &change, Hub::outcome_of(outcome));
            }
        }
    }

    /// Answers somebody whose change is committed (`Done`), or is not.
    #[allow(clippy::too_many_arguments)] // who waits, what for, and what came of it
    fn own_reply(
        &mut self,
        now: Now,
        key: AccountKey,
        origin: Origin,
        kind: Kind,
        from: Option<Address>,
        outcome: Option<Outcome>,
        out: &mut impl Outlet,
    ) {
        let Some(owner) = self.accounts.get(key).map(|account| account.address.clone()) else {
            return orphaned(origin, kind, out);
        };
        let answer = match outcome {
            Some(Outcome::Done) => Answer::done(),
            Some(Outcome::NotFound | Outcome::Exists) => Answer::refused(Refusal::NotFound),
            Some(Outcome::Full) => Answer::refused(Refusal::QuotaExceeded),
            None => Answer::refused(Refusal::Resources),
        };
        let from = from.unwrap_or_else(|| owner.clone());
        self.reply(now, origin, kind, &from, &owner, answer, out);
    }

    /// What is due; not all at once if it is very much.
    pub fn wake(&mut self, now: Now, out: &mut impl Outlet) {
        for _ in 0..limits::DUE_AT_ONCE {
            let Some(due) = self.timers.due(now.tick) else { break };
            match due {
                Due::Endpoint(id) => self.endpoint_due(now, id, out),
                Due::Remote(domain, traffic) => self.remote_due(now, &domain, traffic, out),
                Due::Account(key) => self.account_due(now, key, out),
                Due::Decided(tx) => self.decided(now, tx, out),
                Due::Refusals => self.refuse_due(now, out),
                // The end of this tick goes on with them.
                Due::Tell => {}
                Due::Return => self.look_after_missing(now, out),
                Due::Missing => out.read(Read::ToldOnline, Purpose::ToldOnline),
                Due::Notes => self.note_again(),
                Due::Leftovers => self.look_for_leftovers(now, out),
                Due::Ending(number) => self.ending_due(now, number, out),
                Due::Reports => {
                    for (address, kind) in std::mem::take(&mut self.unreported) {
                        self.with_account(now, address, Parked::Failure { kind, replaces: None }, out);
                    }
                }
                Due::Sweep => {
                    let kept = std::time::Duration::from_secs(u64::from(self.limits.kept_days) * 24 * 3600);
                    let items = Date(self.calendar.believed(now).0.saturating_sub(kept.as_millis() as i64));
                    out.read(Read::ExpiredMessages { before: items, limit: EXPIRED }, Purpose::Expired);
                    let leases = self.calendar.date(now.tick);
                    self.write(Write::Expire { leases, items }, Then::Nothing);
                    self.timers.arm(now.tick + SWEEP, Due::Sweep);
                }
            }
        }
    }

    /// When [`Hub::wake`] is wanted.
    pub fn next_wake(&self) -> Option<Tick> {
        self.timers.next()
    }

    /// The state of the operator's changes; what was read before the last of them is read again.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// A subscription that a user of ours asked for has been answered: remembered before he hears of it.
    #[allow(clippy::too_many_arguments)] // who waits, what for, and the answer
    fn own_subscription(
        &mut self,
        now: Now,
        (handle, tag): (Handle, CompactString),
        from: &Address,
        to: &Address,
        lease: Option<i64>,
        reply: Reply<'_>,
        out: &mut impl Outlet,
    ) {
        match (&reply.answer, self.loaded(from)) {
            (Answer::Granted { .. }, Some(key)) => {
                let origin = Origin::Peer { handle, tag };
                self.remember_granted(now, key, origin, to.clone(), lease, reply.into_owned(), out);
            }
            _ => {
                out.answer(handle, &tag, Kind::Subscribe, to, &reply);
            }
        }
    }

    /// Tells the endpoints of an account that want to know.
    fn tell(&self, key: AccountKey, news: News<'_>, out: &mut impl Outlet) {
        let Some(account) = self.accounts.get(key) else { return };
        let endpoints = account.endpoints.iter().filter_map(|id| self.endpoints.get(id.0 as usize));
        for endpoint in endpoints.filter(|endpoint| !endpoint.diverted) {
            let wants = match news {
                News::WatcherCame(_) | News::WatcherWent(_) => endpoint.seat() == Seat::Whole,
                News::Subscribed(..) | News::Unsubscribed(..) | News::Fetched(_) => {
                    endpoint.watcher().is_some_and(|watcher| watcher.wants_watchers)
                }
            };
            if wants {
                out.tell(endpoint.handle, news);
            }
        }
    }

    fn write(&mut self, write: Write, then: Then) {
        self.writes.push(write);
        self.thens.push(then);
    }

    fn unsettle(&mut self, key: AccountKey) {
        if let Some(account) = self.accounts.get_mut(key) {
            account.unsettled = account.unsettled.saturating_sub(1);
        }
        self.may_forget(key);
    }

    fn mark_dirty(&mut self, key: AccountKey) {
        if let Some(account) = self.accounts.get_mut(key)
            && !std::mem::replace(&mut account.dirty, true)
        {
            self.dirty.push(key);
        }
    }

    /// If nothing holds the account in memory, it may be forgotten when room is needed.
    fn may_forget(&mut self, key: AccountKey) {
        if let Some(account) = self.accounts.get_mut(key)
            && !account.idle
            && account.is_idle()
        {
            account.idle = true;
            self.accounts.idle.push_back(key);
        }
    }

    fn forget_idle(&mut self) {
        while self.accounts.idle.len() > limits::IDLE_ACCOUNTS {
            let Some(key) = self.accounts.idle.pop_front() else { return };
            let Some(account) = self.accounts.get_mut(key) else { continue };
            account.idle = false;
            if account.is_idle() {
                self.forget(key);
            }
        }
    }

    fn forget(&mut self, key: AccountKey) {
        if let Some(account) = self.accounts.remove(key) {
            self.names.remove(&account.address);
        }
    }

    /// 128 random bits in letters and digits, which any protocol can carry (TOC-84).
    fn random_token(&mut self) -> String {
        const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let mut rest = u128::from(self.random.next_u64()) << 64 | u128::from(self.random.next_u64());
        let mut token = String::with_capacity(22);
        for _ in 0..22 {
            token.push(char::from(DIGITS[(rest % 62) as usize]));
            rest /= 62;
        }
        token
    }

    fn random_id(&mut self) -> i64 {
        self.random.next_u64() as i64
    }
}

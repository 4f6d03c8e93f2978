//! A crowd in one node, without sockets: what each connection takes, what logging in costs, what a message costs
//! among so many, what silence costs, what changes of presence cost, and how long the longest call takes.

use std::time::Duration;

use hearth::admin::AdminRequest;
use hearth::store::record::{Change, PeerRule, Read};
use serde::{Deserialize, Serialize};

use crate::feed::Feed;
use crate::people::{Group, People};
use crate::rig::house::Service;
use crate::rig::{Failure, proc};
use crate::spent::{Calls, Meter};
use crate::within::Spec;

/// Pairs whose messages are under way in the same tick, where they are drawn from everybody.
const AT_ONCE: usize = 1000;
/// Watchers of a user.
pub const WATCHERS: usize = 10;

/// What was found.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Crowd {
    /// Users.
    pub users: usize,
    /// Octets of memory for each connection, logged in and idle.
    pub idle: f64,
    /// The same after so many have written and been written to.
    pub used: f64,
    /// Microseconds of a login: the node's, and the store's.
    pub login: (f64, f64),
    /// Of a message: among the same pairs, one at a time, between any two.
    pub fixed: f64,
    /// One at a time.
    pub alone: f64,
    /// Between any two.
    pub random: f64,
    /// Of a connection's minute of silence.
    pub silence: f64,
    /// Calls while all came.
    pub coming: Calls,
    /// Calls while they wrote to each other.
    pub writing: Calls,
    /// Calls while they were silent.
    pub silent: Calls,
    /// Milliseconds of an operator's `status`, and of a domain denied.
    pub operator: (f64, f64),
    /// Changes of presence.
    pub churn: Option<Churn>,
}

/// What changes of presence cost.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Churn {
    /// Subscriptions in force.
    pub subscriptions: usize,
    /// Octets of memory for each.
    pub octets: f64,
    /// Microseconds for taking one out: the node's.
    pub taking: f64,
    /// Changes that were made: one in a hundred of all users.
    pub changes: usize,
    /// Notifications that followed.
    pub notifications: u64,
    /// Microseconds of a change of description with what follows: the node's, and the store's.
    pub description: (f64, f64),
    /// Of a logout and the login after it, with what follows.
    pub away: (f64, f64),
    /// Calls meanwhile.
    pub calls: Calls,
}

/// Random numbers that are the same in every run.
pub struct Dice(u64);

impl Dice {
    /// A new sequence.
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// One below `bound` (splitmix64).
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

/// The pairs that write to each other whoever else is there: neighbours.
pub fn fixed(people: &People, pairs: usize) -> Group {
    // Spread over all users, so that it does not matter who came first.
    let step = (people.len() / (2 * pairs)).max(1) * 2;
    let pairs: Vec<_> = (0..pairs).map(|pair| (pair * step, pair * step + 1)).collect();
    people.group(&pairs)
}

fn random(people: &People, messages: usize) -> Vec<Group> {
    let mut dice = Dice::new(3);
    let at_once = AT_ONCE.min(people.len() / 2);
    let group = |_| {
        let pairs: Vec<_> =
            (0..at_once).map(|_| (dice.below(people.len()), dice.below(people.len()))).collect();
        people.group(&pairs)
    };
    (0..messages.div_ceil(at_once)).map(group).collect()
}

fn resident() -> Result<f64, Failure> {
    Ok(proc::memory(std::process::id(), "Rss:")? as f64)
}

/// Opens the node, and has read so much of the database that its caches are full.
///
/// # Errors
/// If it can't be opened.
pub fn open(spec: &Spec, people: &People) -> Result<Feed, Failure> {
    let feed = Feed::open(&spec.dir, |_| {})?;
    let mut dice = Dice::new(1);
    for _ in 0..5000 {
        let address = people.address(dice.below(people.len()));
        let domains = hearth::hub::address::Domains::default();
        let address = hearth::hub::address::Address::parse(&address, &domains)?;
        feed.look(&Read::Credentials(address.clone()));
        feed.look(&Read::Account(address));
    }
    Ok(feed)
}

/// See the module.
///
/// # Errors
/// If something is refused.
pub fn run(spec: &Spec) -> Result<Crowd, Failure> {
    let mut people = People::new(spec.service, &spec.domain, spec.users)?;
    let mut feed = open(spec, &people)?;
    let warm = (spec.users / 10).min(100);
    people.log_in(&mut feed, 0..warm)?;
    let before = resident()?;
    let mut crowd = Crowd { users: spec.users, ..Crowd::default() };
    feed.spent.calls = Some(Calls::default());
    let meter = Meter::start(&feed.spent)?;
    people.log_in(&mut feed, warm..spec.users)?;
    let (node, store) = meter.micros(&feed.spent)?;
    crowd.coming = feed.spent.calls.take().unwrap_or_default();
    let count = (spec.users - warm) as f64;
    crowd.login = (node / count, store / count);
    crowd.idle = (resident()? - before) / count;
    messages(spec, &mut people, &mut feed, &mut crowd)?;
    crowd.used = (resident()? - before) / count;
    silence(&mut people, &mut feed, &mut crowd)?;
    operator(&mut feed, &mut crowd)?;
    if spec.churn && spec.service == Service::Simp {
        crowd.churn = Some(churn(spec, &mut people, &mut feed)?);
    }
    Ok(crowd)
}

fn messages(spec: &Spec, people: &mut People, feed: &mut Feed, crowd: &mut Crowd) -> Result<(), Failure> {
    let load = (spec.rounds, spec.messages);
    let pairs = [fixed(people, spec.pairs.min(spec.users / 2))];
    crowd.fixed = people.median_cost(feed, load, &pairs)?;
    let one = [fixed(people, 1)];
    crowd.alone = people.median_cost(feed, (spec.rounds, spec.messages / 10), &one)?;
    let any = random(people, spec.messages);
    crowd.random = people.median_cost(feed, load, &any)?;
    feed.spent.calls = Some(Calls::default());
    people.cost(feed, spec.messages, &any)?;
    crowd.writing = feed.spent.calls.take().unwrap_or_default();
    Ok(())
}

/// A minute in which nobody says anything: SIMP's keep-alives, NOPs of IMTP every five minutes.
fn silence(people: &mut People, feed: &mut Feed, crowd: &mut Crowd) -> Result<(), Failure> {
    // What was said to whom has its deadlines, which pass first.
    quiet(people, feed, 60)?;
    feed.spent.calls = Some(Calls::default());
    let meter = Meter::start(&feed.spent)?;
    quiet(people, feed, 300)?;
    crowd.silence = meter.micros(&feed.spent)?.0 / crowd.users as f64 / 5.0;
    crowd.silent = feed.spent.calls.take().unwrap_or_default();
    Ok(())
}

/// Seconds pass; the loop wakes whenever something is due.
fn quiet(people: &mut People, feed: &mut Feed, seconds: u64) -> Result<(), Failure> {
    let end = feed.now.tick + Duration::from_secs(seconds);
    while feed.now.tick < end {
        let next = feed.next_wake().map_or(end, |at| at.min(end));
        let span = next.since(feed.now.tick).max(Duration::from_millis(1));
        feed.pass(span);
        people.turn(feed)?;
    }
    Ok(())
}

fn operator(feed: &mut Feed, crowd: &mut Crowd) -> Result<(), Failure> {
    let ask = |feed: &mut Feed, request| -> Result<f64, Failure> {
        let meter = Meter::start(&feed.spent)?;
        feed.control(request);
        feed.rest();
        Ok(meter.micros(&feed.spent)?.0 / 1000.0)
    };
    crowd.operator.0 = ask(feed, AdminRequest::Status)?;
    let denied = |rule| AdminRequest::Change(Change::SetPeerRule { domain: "denied.test".to_owned(), rule });
    crowd.operator.1 = ask(feed, denied(Some(PeerRule::Deny)))?;
    ask(feed, denied(None))?;
    Ok(())
}

/// Whom a user watches: others far from him, if they are watched at all.
pub fn contacts(user: usize, users: usize, watched: usize, each: usize) -> Vec<usize> {
    let mut dice = Dice::new(11);
    let mut list: Vec<usize> = (0..each)
        .map(|_| (user + 1 + dice.below(users - 1)) % users)
        .filter(|other| other % (users / watched.clamp(1, users)) == 0 && *other != user)
        .collect();
    list.sort_unstable();
    list.dedup();
    list
}

fn churn(spec: &Spec, people: &mut People, feed: &mut Feed) -> Result<Churn, Failure> {
    let (users, watched) = (spec.users, spec.watched.min(spec.users));
    let mut churn = Churn::default();
    let before = resident()?;
    let meter = Meter::start(&feed.spent)?;
    for user in 0..users {
        let list = contacts(user, users, watched, WATCHERS);
        if !list.is_empty() {
            churn.subscriptions += list.len();
            people.set_profile(feed, user, &list, "here")?;
        }
        if user % 200 == 0 {
            feed.pass(Duration::from_millis(1));
            people.rest(feed)?;
        }
    }
    people.rest(feed)?;
    let subscriptions = churn.subscriptions.max(1) as f64;
    churn.taking = meter.micros(&feed.spent)?.0 / subscriptions;
    churn.octets = (resident()? - before) / subscriptions;
    // A minute's changes, one in a hundred users: half of them say something new, half go and come back.
    let step = users / watched;
    churn.changes = (users / 100).max(10);
    let mut dice = Dice::new(5);
    let chosen: Vec<_> = (0..churn.changes).map(|_| dice.below(watched) * step).collect();
    let (talking, leaving) = chosen.split_at(churn.changes / 2);
    let told = people.answered;
    feed.spent.calls = Some(Calls::default());
    let meter = Meter::start(&feed.spent)?;
    for (number, user) in talking.iter().enumerate() {
        let list = contacts(*user, users, watched, WATCHERS);
        people.set_profile(feed, *user, &list, &format!("change {number}"))?;
        // As many in a minute: the loop turns often between two of them.
        feed.pass(Duration::from_millis((60_000 / churn.changes as u64).max(1)));
        people.rest(feed)?;
    }
    let (node, store) = meter.micros(&feed.spent)?;
    churn.description = (node / talking.len() as f64, store / talking.len() as f64);
    let meter = Meter::start(&feed.spent)?;
    let mut gone = 0;
    for user in leaving {
        if people.conn(*user).is_ok() {
            people.log_out(feed, *user)?;
            people.rest(feed)?;
            people.log_in(feed, [*user].into_iter())?;
            people.rest(feed)?;
            gone += 1;
        }
    }
    let (node, store) = meter.micros(&feed.spent)?;
    churn.away = (node / f64::from(gone), store / f64::from(gone));
    churn.notifications = people.answered - told;
    churn.calls = feed.spent.calls.take().unwrap_or_default();
    Ok(churn)
}

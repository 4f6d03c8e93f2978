//! Curves: what a message between users who are always the same costs while something else grows.

use std::net::SocketAddr;

use hearth::admin::AdminRequest;
use hearth::federation::{Place, Protocol, StaticPeer};
use hearth::hub::address::Domain;
use hearth::store::record::{Change, PeerRule};
use serde::{Deserialize, Serialize};

use crate::crowd::{self, Dice, fixed};
use crate::feed::Feed;
use crate::people::{Group, People};
use crate::rig::Failure;
use crate::spent::Meter;
use crate::within::Spec;

/// Contacts of one user at most.
const CONTACTS: usize = 1000;
/// Watchers of one user at most.
const WATCHERS: usize = 5000;

/// One point.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Point {
    /// What has grown, to that.
    pub at: usize,
    /// Microseconds of a message between the pairs that are always the same.
    pub message: f64,
    /// Of something beside it; what, depends on the curve.
    pub beside: Option<f64>,
}

fn place(last: usize) -> SocketAddr {
    SocketAddr::from(([127, 9, (last >> 16) as u8, (last >> 8) as u8], 1024 + (last & 0xff) as u16))
}

fn peer(number: usize) -> Result<StaticPeer, Failure> {
    let domain = Domain::parse(&format!("p{number}.test"))?;
    Ok(StaticPeer { domain, place: Place { protocol: Protocol::Simp, tls: false, address: place(number) } })
}

/// As many users as write to each other, and nobody else.
fn pairs_only(spec: &Spec) -> Result<(People, Feed), Failure> {
    let mut people = People::new(spec.service, &spec.domain, spec.users)?;
    let mut feed = crowd::open(spec, &people)?;
    people.log_in(&mut feed, 0..spec.users)?;
    Ok((people, feed))
}

fn message(spec: &Spec, people: &mut People, feed: &mut Feed) -> Result<f64, Failure> {
    let group = [fixed(people, spec.pairs.min(people.len() / 2))];
    people.median_cost(feed, (spec.rounds, spec.messages), &group)
}

/// Accounts in the database; beside it a login, the node's part and the store's.
///
/// # Errors
/// If something is refused.
pub fn accounts(spec: &Spec) -> Result<Vec<Point>, Failure> {
    let (mut people, mut feed) = pairs_only(spec)?;
    let message = message(spec, &mut people, &mut feed)?;
    // Anybody of them logs in, and stays.
    let all = spec.grows.first().copied().unwrap_or(spec.users);
    let mut others = People::new(spec.service, &spec.domain, all)?;
    let count = (all - spec.users).min(5000);
    let step = (all - spec.users) / count.max(1);
    let meter = Meter::start(&feed.spent)?;
    others.log_in(&mut feed, (0..count).map(|number| spec.users + number * step))?;
    let (node, store) = meter.micros(&feed.spent)?;
    let beside = (count > 0).then(|| (node + store) / count as f64);
    Ok(vec![Point { at: all, message, beside }])
}

/// Subscriptions of users who say nothing.
///
/// # Errors
/// If something is refused.
pub fn of_idle(spec: &Spec) -> Result<Vec<Point>, Failure> {
    let (mut people, mut feed) = pairs_only(spec)?;
    let (mut points, mut user, mut made) = (Vec::new(), 0, 0);
    let group = [fixed(&people, spec.pairs)];
    // Those of the pairs are spread evenly among all.
    let step = (people.len() / (2 * spec.pairs)).max(1) * 2;
    for goal in &spec.grows {
        while made < *goal && user < people.len() {
            if user % step > 1 {
                let most = crowd::WATCHERS.min(*goal - made);
                let mut list = crowd::contacts(user, people.len(), people.len(), most);
                list.retain(|other| other % step > 1);
                made += list.len();
                people.set_profile(&mut feed, user, &list, "here")?;
            }
            user += 1;
            if user % 200 == 0 {
                people.rest(&mut feed)?;
            }
        }
        people.rest(&mut feed)?;
        let message = people.median_cost(&mut feed, (spec.rounds, spec.messages), &group)?;
        points.push(Point { at: made, message, beside: None });
    }
    Ok(points)
}

/// Subscriptions to those who write: each of them has so many watchers. Beside it: one of the notifications that
/// follow when one of them says something new.
///
/// # Errors
/// If something is refused.
pub fn of_active(spec: &Spec) -> Result<Vec<Point>, Failure> {
    let (mut people, mut feed) = pairs_only(spec)?;
    let active = 2 * spec.pairs;
    let pairs: Vec<_> = (0..spec.pairs).map(|pair| (2 * pair, 2 * pair + 1)).collect();
    let group = [people.group(&pairs)];
    let mut points = Vec::new();
    let mut has = vec![0; people.len()];
    for goal in &spec.grows {
        // Watchers are those after the active ones; each watches as many of these as are wanted.
        let watchers = (*goal).min(WATCHERS).min(people.len() - active);
        let each = goal.div_ceil(watchers).min(active).min(CONTACTS);
        for (user, has) in has.iter_mut().enumerate().skip(active).take(watchers) {
            if *has < each {
                *has = each;
                let list: Vec<_> = (0..each).collect();
                people.set_profile(&mut feed, user, &list, "here")?;
            }
            if user % 50 == 0 {
                people.rest(&mut feed)?;
            }
        }
        people.rest(&mut feed)?;
        let message = people.median_cost(&mut feed, (spec.rounds, spec.messages), &group)?;
        let told = people.answered;
        let meter = Meter::start(&feed.spent)?;
        for change in 0..20 {
            people.set_profile(&mut feed, 0, &[], &format!("change {change} of {goal}"))?;
            people.rest(&mut feed)?;
        }
        let told = people.answered - told;
        let beside = (told > 0).then(|| meter.micros(&feed.spent).map(|(node, _)| node / told as f64));
        points.push(Point { at: watchers * each, message, beside: beside.transpose()? });
    }
    Ok(points)
}

/// The operator's rules about peers.
///
/// # Errors
/// If something is refused.
pub fn rules(spec: &Spec) -> Result<Vec<Point>, Failure> {
    let (mut people, mut feed) = pairs_only(spec)?;
    let (mut points, mut made) = (Vec::new(), 0);
    for goal in &spec.grows {
        while made < *goal {
            let (domain, rule) = (format!("r{made}.test"), Some(PeerRule::Allow));
            feed.control(AdminRequest::Change(Change::SetPeerRule { domain, rule }));
            made += 1;
            if made % 5000 == 0 {
                feed.rest();
            }
        }
        feed.rest();
        feed.replies.clear();
        points.push(Point { at: made, message: message(spec, &mut people, &mut feed)?, beside: None });
    }
    Ok(points)
}

/// Peers in the configuration; beside it a message to one of them, over a link that is there.
///
/// # Errors
/// If something is refused.
pub fn by_hand(spec: &Spec) -> Result<Vec<Point>, Failure> {
    let mut points = Vec::new();
    for goal in &spec.grows {
        let peers: Result<Vec<_>, _> = (0..*goal).map(peer).collect();
        let peers = peers?;
        let mut people = People::new(spec.service, &spec.domain, spec.users)?;
        let mut feed = Feed::open(&spec.dir, move |config| config.peers = peers)?;
        people.log_in(&mut feed, 0..spec.users)?;
        let message = message(spec, &mut people, &mut feed)?;
        let there = to_peers(&people, spec.pairs, |pair| pair * goal / spec.pairs);
        let beside = people.median_cost(&mut feed, (spec.rounds, spec.messages), &[there])?;
        points.push(Point { at: *goal, message, beside: Some(beside) });
    }
    Ok(points)
}

/// Messages of the senders of all pairs to somebody in a peer's domain.
fn to_peers(people: &People, pairs: usize, number: impl Fn(usize) -> usize) -> Group {
    let step = (people.len() / (2 * pairs)).max(1) * 2;
    let named: Vec<_> =
        (0..pairs).map(|pair| (pair * step, format!("bob{pair}@p{}.test", number(pair)))).collect();
    people.group_to(&named)
}

/// Links that are up; beside it a message over one of those of the pairs, and over any of them.
///
/// # Errors
/// If something is refused.
pub fn links(spec: &Spec) -> Result<Vec<(Point, f64)>, Failure> {
    let most = spec.grows.iter().copied().max().unwrap_or(0);
    let peers: Result<Vec<_>, _> = (0..most).map(peer).collect();
    let peers = peers?;
    let mut people = People::new(spec.service, &spec.domain, spec.users)?;
    let mut feed = Feed::open(&spec.dir, move |config| config.peers = peers)?;
    people.log_in(&mut feed, 0..spec.users)?;
    let (mut points, mut up, mut dice) = (Vec::new(), 0, Dice::new(9));
    for goal in &spec.grows {
        while up < *goal {
            let count = spec.pairs.min(*goal - up);
            let group = to_peers(&people, count, |pair| up + pair);
            people.exchange(&mut feed, &*group.wire, &group.senders)?;
            up += count;
        }
        let message = message(spec, &mut people, &mut feed)?;
        let there = to_peers(&people, spec.pairs, |pair| pair % up);
        let beside = people.median_cost(&mut feed, (spec.rounds, spec.messages), &[there])?;
        let anywhere: Vec<_> = (0..50)
            .map(|_| {
                let numbers: Vec<_> = (0..spec.pairs).map(|_| dice.below(up)).collect();
                to_peers(&people, spec.pairs, |pair| numbers[pair])
            })
            .collect();
        let any = people.median_cost(&mut feed, (spec.rounds, spec.messages), &anywhere)?;
        points.push((Point { at: up, message, beside: Some(beside) }, any));
    }
    Ok(points)
}

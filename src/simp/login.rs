//! Logging in: challenges, and what is made of a `connect` (part 7 of the draft).
//!
//! A challenge leaves no trace in memory: its `opaque` is sealed under the server's key and holds all
//! there is to know of it. So a flood of logins costs no memory, and a `divert` can send a client to
//! another server that has the same key. What is remembered is only that a challenge has been used
//! (OC-16), for as long as it could be used again: a bit for each, since challenges are numbered. So none has to
//! be forgotten too early, however many log in.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand_core::Rng;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use crate::clock::{Date, Now, Tick};
use crate::credential::{Algorithm, Secret};
use crate::hub::Epoch;
use crate::hub::address::{Address, Domains};
use crate::limits;

/// A failed `connect` is told so after this time, whatever was wrong (OC-15).
pub const FAILURE: Duration = Duration::from_millis(500);
/// The longest user name or address in a challenge, octets.
const USER: usize = 320;
/// Challenges whose bits are kept together.
const SPAN: u64 = 512;

/// What a challenge says, to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The user, as he was named in `login`: that text is digested (OC-11).
    pub user: String,
    /// The nonce, as in the challenge.
    pub nonce: String,
    /// The digest.
    pub algorithm: Algorithm,
    expires: Expires,
    /// Who gave it out: a server's run.
    series: u64,
    /// Which of those that he has given out.
    number: u64,
}

/// When a challenge is too old: by the clock that nobody sets, and for another server by the date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Expires {
    tick: Tick,
    date: Date,
}

/// Which challenges of [`SPAN`] have been used, until when that matters.
#[derive(Debug, Default)]
struct Used {
    bits: [u64; (SPAN / 64) as usize],
    until: Tick,
}

/// Makes challenges and opens them again.
pub struct Desk {
    /// Always some: the key has the cipher's length.
    cipher: Option<LessSafeKey>,
    started: Date,
    series: u64,
    given: u64,
    /// By series, and number divided by [`SPAN`].
    used: HashMap<(u64, u64), Used>,
}

impl Desk {
    /// What is remembered of used challenges, entries.
    pub fn size(&self) -> usize {
        self.used.len()
    }

    /// Under a key from the server's key file. It may be another server's too, and it was ours before the start.
    pub fn new(now: Now, key: [u8; 32], random: &mut impl Rng) -> Desk {
        let cipher = UnboundKey::new(&CHACHA20_POLY1305, &key).map(LessSafeKey::new).ok();
        Desk { cipher, started: now.date, series: random.next_u64(), given: 0, used: HashMap::new() }
    }

    /// A new challenge: nonce and `opaque`. None if the user name is beyond any that exists.
    pub fn challenge(
        &mut self,
        now: Now,
        user: &str,
        algorithm: Algorithm,
        random: &mut impl Rng,
    ) -> Option<(String, String)> {
        if user.len() > USER {
            return None;
        }
        let mut nonce = [0; 16];
        random.fill_bytes(&mut nonce);
        let mut serial = [0; 12];
        random.fill_bytes(&mut serial);
        let number = self.given;
        self.given += 1;
        let mut opaque = Vec::with_capacity(12 + 49 + user.len() + CHACHA20_POLY1305.tag_len());
        opaque.extend_from_slice(&serial);
        opaque.push(match algorithm {
            Algorithm::Md5 => 0,
            Algorithm::Sha256 => 1,
            Algorithm::Plain => 2,
        });
        opaque.extend_from_slice(&(now.tick + limits::CHALLENGE).millis().to_be_bytes());
        opaque.extend_from_slice(&(now.date + limits::CHALLENGE).0.to_be_bytes());
        opaque.extend_from_slice(&self.series.to_be_bytes());
        opaque.extend_from_slice(&number.to_be_bytes());
        opaque.extend_from_slice(&nonce);
        opaque.extend_from_slice(user.as_bytes());
        let (_, text) = opaque.split_first_chunk_mut::<12>()?;
        let unique = Nonce::assume_unique_for_key(serial);
        let tag = self.cipher.as_ref()?.seal_in_place_separate_tag(unique, Aad::empty(), text).ok()?;
        opaque.extend_from_slice(tag.as_ref());
        Some((URL_SAFE_NO_PAD.encode(nonce), URL_SAFE_NO_PAD.encode(opaque)))
    }

    /// Opens a challenge and uses it up; none if it is not ours, too old, or used before.
    pub fn redeem(&mut self, now: Now, opaque: &str) -> Option<Ticket> {
        let mut octets = URL_SAFE_NO_PAD.decode(opaque).ok()?;
        let (serial, sealed) = octets.split_first_chunk_mut::<12>()?;
        let nonce = Nonce::assume_unique_for_key(*serial);
        let plain = self.cipher.as_ref()?.open_in_place(nonce, Aad::empty(), sealed).ok()?;
        let (algorithm, rest) = plain.split_first()?;
        let (tick, rest) = rest.split_first_chunk::<8>()?;
        let (date, rest) = rest.split_first_chunk::<8>()?;
        let (series, rest) = rest.split_first_chunk::<8>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (nonce, user) = rest.split_first_chunk::<16>()?;
        let ticket = Ticket {
            user: String::from_utf8(user.to_vec()).ok()?,
            nonce: URL_SAFE_NO_PAD.encode(nonce),
            algorithm: match algorithm {
                0 => Algorithm::Md5,
                1 => Algorithm::Sha256,
                _ => Algorithm::Plain,
            },
            expires: Expires {
                tick: Tick::at(u64::from_be_bytes(*tick)),
                date: Date(i64::from_be_bytes(*date)),
            },
            series: u64::from_be_bytes(*series),
            number: u64::from_be_bytes(*number),
        };
        self.use_up(now, ticket)
    }

    fn use_up(&mut self, now: Now, ticket: Ticket) -> Option<Ticket> {
        let Expires { tick, date } = ticket.expires;
        let lives = if ticket.series == self.series {
            tick > now.tick
        } else {
            // Nobody knows any more which were used before the start. And a clock set back must not make a
            // challenge live for days.
            date > now.date
                && date.since(now.date) <= limits::CHALLENGE * 2
                && date >= self.started + limits::CHALLENGE
        };
        if !lives {
            return None;
        }
        let place = (ticket.series, ticket.number / SPAN);
        if !self.used.contains_key(&place) {
            self.used.retain(|_, used| used.until > now.tick);
        }
        let used = self.used.entry(place).or_default();
        used.until = now.tick + limits::CHALLENGE * 2;
        let bits = used.bits.get_mut((ticket.number % SPAN / 64) as usize)?;
        let bit = 1 << (ticket.number % 64);
        let first = *bits & bit == 0;
        *bits |= bit;
        first.then_some(ticket)
    }
}

/// Whom a `login` means (OC-11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// A user of ours, if he exists.
    Ours(Address),
    /// Nobody who could exist here; treated like one who does not.
    Nobody,
    /// A user of another domain.
    Foreign,
}

/// Reads the `user` of a `login`: a name in the default domain, or an address.
pub fn claim(user: &str, domains: &Domains) -> Claim {
    if user.contains(':') {
        return Claim::Nobody;
    }
    match domains.named(user) {
        Some(address) if domains.contains(address.domain()) => Claim::Ours(address),
        Some(_) => Claim::Foreign,
        None => Claim::Nobody,
    }
}

/// The algorithm for a challenge: the first of the client's own that we can use here, MD5 for a stock
/// client that names none. None: there is nothing we both can.
pub fn choose(algorithms: Option<&str>, plain: bool) -> Option<Algorithm> {
    let Some(list) = algorithms else { return Some(Algorithm::Md5) };
    list.split(' ')
        .filter(|name| !name.is_empty())
        .filter_map(Algorithm::parse)
        .find(|algorithm| *algorithm != Algorithm::Plain || plain)
}

/// A `connect` that is being looked into.
#[derive(Debug)]
pub struct Attempt {
    /// Its id, for the reply.
    pub id: String,
    /// Of the challenge.
    pub ticket: Option<Ticket>,
    /// What the client gave as proof.
    pub authorization: Secret,
    /// Whom he claims to be.
    pub address: Option<Address>,
    /// How he proved it.
    pub proof: compact_str::CompactString,
    /// The state of the operator's changes when the credentials were asked for.
    pub epoch: Epoch,
    /// It has failed, and is told so then.
    pub fails: Option<Tick>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng;

    use super::*;
    use crate::hub::address::Domain;

    #[test]
    fn a_challenge_is_used_once_and_in_time() {
        // OC-16, SIMP-7.1-7
        let mut random = ChaCha8Rng::from_seed([1; 32]);
        let now = Now { tick: Tick::at(5), date: Date(1_000_000) };
        let mut desk = Desk::new(now, [2; 32], &mut random);
        let (nonce, opaque) = desk.challenge(now, "alice", Algorithm::Md5, &mut random).unwrap();
        let (_, other) = desk.challenge(now, "alice", Algorithm::Md5, &mut random).unwrap();
        assert_ne!(opaque, other);
        let ticket = desk.redeem(now, &opaque).unwrap();
        assert_eq!((ticket.user.as_str(), &ticket.nonce), ("alice", &nonce));
        assert_eq!(desk.redeem(now, &opaque), None);
        let late = Now { tick: now.tick + limits::CHALLENGE, ..now };
        assert_eq!(desk.redeem(late, &other), None);
        let mut foreign = Desk::new(now, [3; 32], &mut random);
        assert_eq!(foreign.redeem(now, &other), None);
        for damaged in ["", "x", &other[1..], &other.to_uppercase()] {
            assert_eq!(desk.redeem(now, damaged), None);
        }
    }

    #[test]
    fn a_challenge_is_good_at_another_server_with_the_same_key() {
        // OC-16, SIMP-6.5-2
        let mut random = ChaCha8Rng::from_seed([1; 32]);
        let at = |tick: u64, date: i64| Now { tick: Tick::at(tick), date: Date(date) };
        let mut here = Desk::new(at(0, 0), [2; 32], &mut random);
        let mut there = Desk::new(at(9_000_000, 0), [2; 32], &mut random);
        let mut given = |now| here.challenge(now, "alice", Algorithm::Md5, &mut random).unwrap().1;
        let (first, second, third) = (given(at(10, 10)), given(at(10, 10)), given(at(10, 10)));
        assert!(there.redeem(at(9_000_000, 20), &first).is_some());
        assert!(there.redeem(at(9_000_000, 20), &first).is_none());
        assert!(there.redeem(at(9_000_000, 60_010), &second).is_none(), "it is over");
        // Which of them it had taken before it was started anew it does not know.
        let mut again = Desk::new(at(0, 20), [2; 32], &mut ChaCha8Rng::from_seed([4; 32]));
        assert!(again.redeem(at(0, 20), &third).is_none());
        assert!(again.redeem(at(0, 20), &given(at(20, 20))).is_some());
    }

    #[test]
    fn however_many_log_in_none_does_twice_by_the_same_challenge() {
        // OC-16
        let mut random = ChaCha8Rng::from_seed([1; 32]);
        let mut now = Now::default();
        let mut desk = Desk::new(now, [2; 32], &mut random);
        let mut given = Vec::new();
        // More than two thousand a second, and of some challenges nobody makes use.
        for n in 0..120_000 {
            now.tick = Tick::at(n * 59 / 120);
            let (_, opaque) = desk.challenge(now, "alice", Algorithm::Md5, &mut random).unwrap();
            if n % 7 != 0 {
                assert!(desk.redeem(now, &opaque).is_some(), "{n}");
                given.push(opaque);
            }
        }
        assert!(given.iter().all(|opaque| desk.redeem(now, opaque).is_none()));
        assert!(desk.size() <= 120_000 / SPAN as usize + 1, "{}", desk.size());
        // Nothing is kept for ever.
        now.tick = now.tick + limits::CHALLENGE * 2;
        for _ in 0..SPAN {
            let (_, opaque) = desk.challenge(now, "alice", Algorithm::Md5, &mut random).unwrap();
            assert!(desk.redeem(now, &opaque).is_some());
        }
        assert!(desk.size() <= 2, "{}", desk.size());
    }

    #[test]
    fn users_are_names_or_addresses() {
        // OC-11, OC-15
        let domains = Domains::new(vec![Domain::parse("a.test").unwrap(), Domain::parse("b.test").unwrap()]);
        let ours = |text: &str| match claim(text, &domains) {
            Claim::Ours(address) => address.to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!(ours("Alice"), "alice@a.test");
        assert_eq!(ours("alice@B.test"), "alice@b.test");
        assert_eq!(ours("alice@c.test"), "Foreign");
        assert_eq!(ours("a:b"), "Nobody");
        assert_eq!(ours(""), "Nobody");
    }

    #[test]
    fn stock_clients_get_md5_and_others_their_best() {
        // OC-12, SIMP-7.1-5
        assert_eq!(choose(None, true), Some(Algorithm::Md5));
        assert_eq!(choose(Some("PLAIN SHA-256"), true), Some(Algorithm::Plain));
        assert_eq!(choose(Some("PLAIN SHA-256 MD5"), false), Some(Algorithm::Sha256));
        assert_eq!(choose(Some("SHA-1 md5"), false), Some(Algorithm::Md5));
        assert_eq!(choose(Some("SHA-1"), true), None);
    }
}

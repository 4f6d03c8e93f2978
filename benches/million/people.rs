//! The users of a node without sockets: they log in, stay, answer what they are asked, and write to each other.

use std::mem;
use std::net::{Ipv4Addr, SocketAddr};

use hearth::config::ListenProtocol;
use hearth::node::io::ConnId;

use crate::feed::Feed;
use crate::rig::engine::Wire;
use crate::rig::house::{SECRET, Service, keys};
use crate::rig::pairs::BODY;
use crate::rig::report::median;
use crate::rig::transfer::Keys;
use crate::rig::{Failure, simp, transfer};
use crate::spent::Meter;

/// Logins under way at a time.
const LANES: usize = 64;

/// What a connection is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Nobody,
    /// SIMP: a challenge was asked for, on a routing connection.
    Asking(u32),
    /// SIMP: the proof is on its way.
    Proving(u32),
    /// IMTP: the list of mechanisms has yet to come.
    Greeted(u32),
    /// IMTP: the challenge has.
    Challenged(u32),
    /// IMTP: the ok has.
    Proved(u32),
    /// IMTP: asked for messages.
    Listening(u32),
    /// There.
    In,
    /// A link to a peer of ours, who answers whatever it is asked.
    Peer,
}

/// All users.
pub struct People {
    service: Service,
    domain: String,
    keys: Keys,
    /// By slot.
    states: Vec<State>,
    /// By user.
    conns: Vec<Option<ConnId>>,
    under_way: usize,
    simp: simp::Answerer,
    transfer: transfer::Answerer,
    reader: transfer::Reader,
    next_id: u64,
    /// Requests that were answered: notifications, messages.
    pub answered: u64,
}

impl People {
    /// So many, none of them there.
    ///
    /// # Errors
    /// None that can happen.
    pub fn new(service: Service, domain: &str, users: usize) -> Result<People, Failure> {
        Ok(People {
            service,
            domain: domain.to_owned(),
            keys: keys()?,
            states: vec![State::In; users + users / 8 + 4 * LANES],
            conns: vec![Some(ConnId { slot: 1, generation: 1 }); users],
            under_way: 0,
            simp: simp::Answerer::new(),
            transfer: transfer::Answerer::new(),
            reader: transfer::Reader::new(),
            next_id: 10,
            answered: 0,
        }
        .emptied())
    }

    /// The tables have been written to once: their memory is there before anything is measured.
    fn emptied(mut self) -> People {
        self.states.fill(State::Nobody);
        self.conns.fill(None);
        self
    }

    /// A user's address.
    pub fn address(&self, user: usize) -> String {
        format!("user{user}@{}", self.domain)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.conns.len()
    }

    /// A user's connection.
    ///
    /// # Errors
    /// If he is away.
    pub fn conn(&self, user: usize) -> Result<ConnId, Failure> {
        self.conns[user].ok_or_else(|| Failure(format!("user {user} is away")))
    }

    fn set(&mut self, conn: ConnId, state: State) {
        let slot = conn.slot as usize;
        if self.states.len() <= slot {
            self.states.resize(slot + 1, State::Nobody);
        }
        self.states[slot] = state;
    }

    /// A user begins to log in, from an address of his own.
    fn begin(&mut self, feed: &mut Feed, user: usize) {
        let ip = Ipv4Addr::from_bits(0x7f10_0000 + user as u32);
        let peer = SocketAddr::from((ip, 40_000));
        self.under_way += 1;
        match self.service {
            Service::Simp => {
                let conn = feed.connect(Feed::listener(ListenProtocol::Simp), peer);
                self.set(conn, State::Asking(user as u32));
                let login = simp::login(&self.address(user));
                feed.say(conn, |out| out.extend_from_slice(&[simp::HEADER, login.as_bytes()].concat()));
            }
            Service::Imtp | Service::Pitp => {
                let conn = feed.connect(Feed::listener(ListenProtocol::Imtp), peer);
                self.set(conn, State::Greeted(user as u32));
            }
        }
    }

    /// Logs users in, so many at a time, a millisecond for each turn of the loop; all that follows is answered.
    ///
    /// # Errors
    /// If one is refused.
    pub fn log_in(&mut self, feed: &mut Feed, users: impl Iterator<Item = usize>) -> Result<(), Failure> {
        let mut users = users.fuse();
        loop {
            while self.under_way < LANES {
                let Some(user) = users.next() else { break };
                self.begin(feed, user);
            }
            if self.under_way == 0 && feed.is_idle() {
                return Ok(());
            }
            self.turn(feed)?;
            feed.pass(std::time::Duration::from_millis(1));
        }
    }

    /// Ticks until nobody says anything any more.
    ///
    /// # Errors
    /// If somebody was refused.
    pub fn rest(&mut self, feed: &mut Feed) -> Result<(), Failure> {
        while !feed.is_idle() {
            self.turn(feed)?;
        }
        Ok(())
    }

    /// A tick, and what everybody says to what he has heard in it.
    ///
    /// # Errors
    /// If somebody was refused.
    pub fn turn(&mut self, feed: &mut Feed) -> Result<(), Failure> {
        feed.tick();
        self.take_links(feed);
        let heard = mem::take(&mut feed.heard);
        for (conn, range) in &heard.pieces {
            self.hear(feed, *conn, &heard.octets[range.clone()])?;
        }
        feed.heard = heard;
        Ok(())
    }

    /// Peers take up the links that the node has dialled.
    fn take_links(&mut self, feed: &mut Feed) {
        for dial in mem::take(&mut feed.dials) {
            let conn = feed.answer_dial(dial);
            self.set(conn, State::Peer);
            feed.say(conn, |out| out.extend_from_slice(simp::HEADER));
        }
    }

    fn hear(&mut self, feed: &mut Feed, conn: ConnId, octets: &[u8]) -> Result<(), Failure> {
        match self.states[conn.slot as usize] {
            State::Nobody => Ok(()),
            State::In | State::Peer => {
                self.answer(feed, conn, octets);
                Ok(())
            }
            State::Asking(user) => self.challenged(feed, conn, user as usize, octets),
            State::Proving(user) => {
                let text = std::str::from_utf8(octets)?;
                if !text.contains("</properties>") {
                    return Ok(());
                }
                if !text.contains(">self<") {
                    return Err(Failure(format!("login refused: {text}")));
                }
                self.entered(conn, user as usize);
                self.answer(feed, conn, octets);
                Ok(())
            }
            State::Greeted(user) => {
                let text = transfer::auth(&self.address(user as usize));
                self.set(conn, State::Challenged(user));
                feed.say(conn, |out| out.extend_from_slice(text.as_bytes()));
                Ok(())
            }
            State::Challenged(user) => {
                let piece = self.reader.next(octets).ok_or("no whole challenge")?;
                let text =
                    self.keys.answer(&self.address(user as usize), std::str::from_utf8(piece.payload)?)?;
                self.set(conn, State::Proved(user));
                feed.say(conn, |out| out.extend_from_slice(text.as_bytes()));
                Ok(())
            }
            State::Proved(user) => {
                let piece = self.reader.next(octets).ok_or("no whole answer")?;
                if piece.rest != b"ok (auth)" {
                    return Err(Failure(String::from_utf8_lossy(octets).into_owned()));
                }
                let text = transfer::listen(&self.address(user as usize));
                self.set(conn, State::Listening(user));
                feed.say(conn, |out| out.extend_from_slice(text.as_bytes()));
                Ok(())
            }
            State::Listening(user) => {
                let piece = self.reader.next(octets).ok_or("no whole answer")?;
                if piece.rest != b"ok (listen)" {
                    return Err(Failure(String::from_utf8_lossy(octets).into_owned()));
                }
                self.entered(conn, user as usize);
                Ok(())
            }
        }
    }

    fn entered(&mut self, conn: ConnId, user: usize) {
        self.set(conn, State::In);
        self.conns[user] = Some(conn);
        self.under_way -= 1;
    }

    /// The proof goes over a connection of its own; the first one ends.
    fn challenged(
        &mut self,
        feed: &mut Feed,
        conn: ConnId,
        user: usize,
        octets: &[u8],
    ) -> Result<(), Failure> {
        let text = std::str::from_utf8(octets)?;
        if !text.contains("</properties>") {
            return Ok(());
        }
        let address = self.address(user);
        let proof = simp::connect(&address, SECRET, text)?;
        self.set(conn, State::Nobody);
        feed.leave(conn);
        let peer = SocketAddr::from((Ipv4Addr::from_bits(0x7f10_0000 + user as u32), 40_001));
        let conn = feed.connect(Feed::listener(ListenProtocol::Simp), peer);
        self.set(conn, State::Proving(user as u32));
        feed.say(conn, |out| out.extend_from_slice(&[simp::HEADER, proof.as_bytes()].concat()));
        Ok(())
    }

    fn answer(&mut self, feed: &mut Feed, conn: ConnId, octets: &[u8]) {
        let mut said = Vec::new();
        let (_, count) = match self.service {
            Service::Simp => self.simp.answer(octets, &mut said),
            Service::Imtp | Service::Pitp => self.transfer.answer(octets, &mut said),
        };
        self.answered += count;
        if !said.is_empty() {
            feed.say(conn, |out| out.extend_from_slice(&said));
        }
    }

    /// A user goes.
    ///
    /// # Errors
    /// If he is away.
    pub fn log_out(&mut self, feed: &mut Feed, user: usize) -> Result<(), Failure> {
        let conn = self.conn(user)?;
        self.conns[user] = None;
        self.set(conn, State::Nobody);
        feed.leave(conn);
        Ok(())
    }

    /// A user says who is on his contact list, and something of himself.
    ///
    /// # Errors
    /// If he is away.
    pub fn set_profile(
        &mut self,
        feed: &mut Feed,
        user: usize,
        contacts: &[usize],
        words: &str,
    ) -> Result<(), Failure> {
        let conn = self.conn(user)?;
        let mut list = String::new();
        for contact in contacts {
            list.push_str(&self.address(*contact));
            list.push(' ');
        }
        self.next_id += 1;
        let text = format!(
            "<properties><entry key=\"action\">set profile</entry><entry key=\"request\">{}</entry>\
             <entry key=\"message\">{words}</entry><entry key=\"buddies\">&lt;properties&gt;&lt;entry \
             key=\"all\"&gt;{list}&lt;/entry&gt;&lt;/properties&gt;</entry></properties>\n",
            self.next_id
        );
        feed.say(conn, |out| out.extend_from_slice(text.as_bytes()));
        Ok(())
    }

    fn wire(&self, pairs: &[(String, String)]) -> Box<dyn Wire> {
        match self.service {
            Service::Simp => Box::new(simp::Messages::new(pairs, BODY)),
            Service::Imtp | Service::Pitp => Box::new(transfer::Messages::new(pairs, BODY)),
        }
    }

    /// Pairs who write in the same tick, each once.
    pub fn group(&self, pairs: &[(usize, usize)]) -> Group {
        let named: Vec<_> = pairs.iter().map(|(a, b)| (self.address(*a), self.address(*b))).collect();
        Group { senders: pairs.iter().map(|(from, _)| *from).collect(), wire: self.wire(&named) }
    }

    /// The same, to any addresses.
    pub fn group_to(&self, pairs: &[(usize, String)]) -> Group {
        let named: Vec<_> = pairs.iter().map(|(a, b)| (self.address(*a), b.clone())).collect();
        Group { senders: pairs.iter().map(|(from, _)| *from).collect(), wire: self.wire(&named) }
    }

    /// Everybody in `senders` sends the message of his place; all are answered. Takes as many ticks as a message
    /// takes: one to its recipient, one back.
    ///
    /// # Errors
    /// If one is refused.
    pub fn exchange(&mut self, feed: &mut Feed, wire: &dyn Wire, senders: &[usize]) -> Result<(), Failure> {
        for (place, sender) in senders.iter().enumerate() {
            // Somebody may send twice.
            self.next_id += 1;
            let (conn, id) = (self.conn(*sender)?, self.next_id);
            feed.say(conn, |out| wire.message(place, id, out));
        }
        let mut done = 0;
        for _ in 0..6 {
            feed.tick();
            self.take_links(feed);
            let heard = mem::take(&mut feed.heard);
            for (conn, range) in &heard.pieces {
                let octets = &heard.octets[range.clone()];
                let mut said = Vec::new();
                wire.answer(octets, &mut said);
                if said.is_empty() {
                    let replies = wire.replies(octets);
                    done += replies.done;
                    if replies.failed > 0 {
                        return Err(Failure(format!("refused: {}", String::from_utf8_lossy(octets))));
                    }
                } else {
                    feed.say(*conn, |out| out.extend_from_slice(&said));
                }
            }
            feed.heard = heard;
            if done == senders.len() as u64 {
                // As long as so many take: what follows a moment later does not come to all at once.
                feed.pass(std::time::Duration::from_millis(done / 200));
                return Ok(());
            }
        }
        Err(Failure(format!("{done} of {} messages were answered", senders.len())))
    }

    /// The node's CPU time for a message, microseconds: the groups in turn, until there were enough of them.
    ///
    /// # Errors
    /// If one is refused.
    pub fn cost(&mut self, feed: &mut Feed, messages: usize, groups: &[Group]) -> Result<f64, Failure> {
        let mut sent = 0;
        let meter = Meter::start(&feed.spent)?;
        for group in groups.iter().cycle() {
            if sent >= messages {
                break;
            }
            self.exchange(feed, &*group.wire, &group.senders)?;
            sent += group.senders.len();
        }
        Ok(meter.micros(&feed.spent)?.0 / sent as f64)
    }

    /// The median of several rounds of that.
    ///
    /// # Errors
    /// If one is refused.
    pub fn median_cost(
        &mut self,
        feed: &mut Feed,
        (rounds, messages): (usize, usize),
        groups: &[Group],
    ) -> Result<f64, Failure> {
        // Caches as they are in the middle of things.
        self.cost(feed, messages / 4, groups)?;
        let costs: Result<Vec<_>, _> = (0..rounds).map(|_| self.cost(feed, messages, groups)).collect();
        Ok(median(&costs?))
    }
}

/// Those who write in the same tick, and what.
pub struct Group {
    /// Who sends, by number.
    pub senders: Vec<usize>,
    /// What each of them sends.
    pub wire: Box<dyn Wire>,
}

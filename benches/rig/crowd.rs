//! One who is watched, and the crowd that watches him: each change of his presence is told to all of them.

use std::time::{Duration, Instant};

use mio::{Events, Poll};

use super::engine::Conn;
use super::house::{House, Service};
use super::pairs::Door;
use super::{Failure, simp, transfer};

/// How long the crowd is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the star and those who watch him say.
pub trait Script {
    /// Takes what came and answers what has to be answered: octets used, and notifications among them.
    fn take(&self, input: &[u8], out: &mut Vec<u8>) -> (usize, u64);
    /// The star's change of presence of this number, and what is in the reply to it; nothing, if it has none.
    fn change(&self, number: u64) -> (String, &'static [u8]);
}

/// That of hearth's own protocols.
struct Native {
    service: Service,
    star: String,
    simp: simp::Answerer,
    transfer: transfer::Answerer,
}

impl Native {
    fn of(service: Service, star: &str) -> Native {
        let (simp, transfer) = (simp::Answerer::new(), transfer::Answerer::new());
        Native { service, star: star.to_owned(), simp, transfer }
    }

    fn subscribe(&self, watcher: &str) -> String {
        let star = &self.star;
        match self.service {
            Service::Simp => format!(
                "<properties><entry key=\"action\">subscribe</entry><entry key=\"request\">2</entry>\
                 <entry key=\"to\">{star}</entry><entry key=\"from\">{watcher}</entry>\
                 <entry key=\"duration\">-1</entry></properties>\n"
            ),
            Service::Imtp | Service::Pitp => format!(
                ">3 subscribe\r\nSubscription: /presence:{watcher}\r\nPresentity: presence:{star}\r\n\r\n"
            ),
        }
    }

    /// In the reply to that.
    fn subscribed(&self) -> &'static [u8] {
        match self.service {
            Service::Simp => b">describe<",
            Service::Imtp | Service::Pitp => b" ok (subscribe)",
        }
    }

    /// What has to be said before anybody watches, and what is in the reply to it: who is to see what.
    fn begin(&self) -> Option<(String, &'static [u8])> {
        let insert = self.show(3, "insert-mapping", "Wpattern: *\r\n", "here");
        (self.service != Service::Simp).then_some((insert, b" ok (insert-mapping)"))
    }

    /// An edit of the first mapping, which shows that he is there and this text.
    fn show(&self, id: u64, method: &str, more: &str, text: &str) -> String {
        let star = &self.star;
        let document = format!(
            "presentity = presence:{star}\r\ncontact = im:{star} {{\r\n  status = open\r\n}}\r\n\
             namespace:hearth = urn:hearth:presence\r\nhearth:message = \"{text}\"\r\n"
        );
        let length = document.len();
        format!(
            ">{id} {method}\r\nPresentity: presence:{star}\r\nMapping: 1\r\n{more}\
             Content-Length: {length}\r\n\r\n{document}"
        )
    }
}

impl Script for Native {
    fn take(&self, input: &[u8], out: &mut Vec<u8>) -> (usize, u64) {
        match self.service {
            Service::Simp => self.simp.answer(input, out),
            Service::Imtp | Service::Pitp => self.transfer.answer(input, out),
        }
    }

    fn change(&self, number: u64) -> (String, &'static [u8]) {
        let (id, text) = (number + 4, format!("change {number}"));
        match self.service {
            Service::Simp => {
                let set = format!(
                    "<properties><entry key=\"action\">set profile</entry><entry key=\"request\">{id}</entry>\
                     <entry key=\"message\">{text}</entry></properties>\n"
                );
                (set, b">okay<")
            }
            Service::Imtp | Service::Pitp => (self.show(id, "change", "", &text), b" ok (change)"),
        }
    }
}

/// One who is watched (the first connection) and all who watch him.
pub struct Crowd {
    poll: Poll,
    events: Events,
    conns: Vec<Conn>,
    script: Box<dyn Script>,
    buffer: Vec<u8>,
}

impl Crowd {
    /// With the star's connection.
    ///
    /// # Errors
    /// Whatever the sockets say.
    pub fn new(star: Conn, script: Box<dyn Script>) -> Result<Crowd, Failure> {
        let (poll, events) = (Poll::new()?, Events::with_capacity(1024));
        let mut crowd = Crowd { poll, events, conns: Vec::new(), script, buffer: vec![0; 64 * 1024] };
        crowd.add(star)?;
        Ok(crowd)
    }

    /// Adds a watcher's connection; what waits in it is written.
    ///
    /// # Errors
    /// Whatever the socket says.
    pub fn add(&mut self, mut conn: Conn) -> Result<(), Failure> {
        conn.register(&self.poll, self.conns.len())?;
        conn.flush()?;
        self.conns.push(conn);
        Ok(())
    }

    /// How many watch.
    pub fn watchers(&self) -> u64 {
        self.conns.len() as u64 - 1
    }

    /// Reads, counts and answers until so many notifications have come to the watchers, and so many replies
    /// of one kind to all of them.
    ///
    /// # Errors
    /// If they don't come in time, or a connection fails.
    pub fn until(&mut self, notifications: u64, reply: &[u8], replies: u64) -> Result<(), Failure> {
        let finder = memchr::memmem::Finder::new(reply);
        let deadline = Instant::now() + PATIENCE;
        let (mut notified, mut replied) = (0, 0);
        while notified < notifications || replied < replies {
            if Instant::now() > deadline {
                return Err(Failure(format!(
                    "{notified} of {notifications} notifications, {replied} of {replies} replies"
                )));
            }
            self.poll.poll(&mut self.events, Some(Duration::from_secs(1)))?;
            for event in &self.events {
                let index = event.token().0;
                let (conn, script) = (&mut self.conns[index], &self.script);
                conn.read(&mut self.buffer, |input, out| {
                    let (used, count) = script.take(input, out);
                    // What the star hears of himself is no watcher's.
                    notified += if index > 0 { count } else { 0 };
                    if replies > 0 {
                        replied += finder.find_iter(&input[..used]).count() as u64;
                    }
                    used
                })?;
                conn.flush()?;
            }
        }
        Ok(())
    }

    /// Waits until nothing has come for a while.
    ///
    /// # Errors
    /// If it goes on and on, or a connection fails.
    pub fn hush(&mut self, quiet: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.poll.poll(&mut self.events, Some(quiet))?;
            if self.events.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Failure("the crowd does not come to rest".into()));
            }
            for event in &self.events {
                let (conn, script) = (&mut self.conns[event.token().0], &self.script);
                conn.read(&mut self.buffer, |input, out| script.take(input, out).0)?;
                conn.flush()?;
            }
        }
    }

    /// The star changes his presence, and everybody is told.
    ///
    /// # Errors
    /// If not everybody is.
    pub fn change(&mut self, number: u64) -> Result<(), Failure> {
        let (text, reply) = self.script.change(number);
        self.say(&text)?;
        self.until(self.watchers(), reply, u64::from(!reply.is_empty()))
    }

    /// The star says something.
    fn say(&mut self, text: &str) -> Result<(), Failure> {
        self.conns[0].out.extend_from_slice(text.as_bytes());
        self.conns[0].flush()
    }
}

/// The crowd of a house: `star`, watched by so many users, whose names `watcher` gives.
///
/// # Errors
/// If a login or a subscription is refused.
pub fn of_house(
    (house, service): (&House, Service),
    star: &str,
    watchers: usize,
    watcher: impl Fn(usize) -> String,
) -> Result<Crowd, Failure> {
    let star = house.user(star);
    let mut door = Door::open((house, service))?;
    let native = Native::of(service, &star);
    let (begin, subscribed) = (native.begin(), native.subscribed());
    let asks: Vec<String> = (0..watchers).map(|i| native.subscribe(&house.user(&watcher(i)))).collect();
    let mut crowd = Crowd::new(door.enter(&star, false)?, Box::new(native))?;
    if let Some((text, reply)) = begin {
        crowd.say(&text)?;
        crowd.until(0, reply, 1)?;
    }
    for (index, ask) in asks.into_iter().enumerate() {
        let mut conn = door.enter(&house.user(&watcher(index)), false)?;
        conn.out = ask.into_bytes();
        crowd.add(conn)?;
    }
    crowd.until(0, subscribed, crowd.watchers())?;
    Ok(crowd)
}

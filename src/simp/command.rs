//! Commands: what a properties object means.
//!
//! Third in the flow of what is received, after [`Object::parse`]: the object becomes one of the
//! commands of the draft, with every required entry there and every listed entry of its type
//! (SIMP-4.2.2), or is [`Malformed`]. Which commands a connection takes, and from whom, is decided
//! later. Entries outside a command's pattern are no fault (SIMP-4.2.2-4).

use crate::clock::Date;
use crate::hub::address::{Address, MAX_DOMAIN, MAX_LOCAL};
use crate::hub::op::TxId;
use crate::limits;
use crate::mime::is_media_type;

use super::object::{BadObject, Entry, Fault, Key, Malformed, Object, Scratch};

/// An instant message address in the shape of one: exactly one `@` between a user name and a domain,
/// within their lengths, and nothing of RFC 822 beyond that (SIMP-4.2.1.2-2, OC-22). Whether the parts
/// are well-formed is for [`Address::parse`](crate::hub::address::Address::parse) to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ima<'a>(&'a str);

impl<'a> Ima<'a> {
    /// Checks the shape.
    pub fn parse(text: &'a str) -> Option<Ima<'a>> {
        let mut ats = 0;
        let mut at = 0;
        for (i, b) in text.bytes().enumerate() {
            match b {
                b'@' => (ats, at) = (ats + 1, i),
                // White space, and what quoted parts, routes, comments and literals are made of.
                ..=b' ' | b'"' | b'(' | b')' | b',' | b':'..=b'<' | b'>' | b'['..=b']' | 0x7F => return None,
                _ => {}
            }
        }
        let fits =
            ats == 1 && (1..=MAX_LOCAL).contains(&at) && (1..=MAX_DOMAIN).contains(&(text.len() - at - 1));
        fits.then_some(Ima(text))
    }

    /// Of an address, which is in shape already.
    pub fn of(address: &'a Address) -> Ima<'a> {
        Ima(address.as_str())
    }

    /// As it came.
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

/// Is the user's notification connection open (SIMP-4.2.1.6-1)?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// `online`
    Online,
    /// `offline`
    Offline,
}

impl State {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Online => "online",
            State::Offline => "offline",
        }
    }

    fn parse(text: &str) -> Option<State> {
        match text {
            "online" => Some(State::Online),
            "offline" => Some(State::Offline),
            _ => None,
        }
    }
}

/// A version of the protocol; compared number by number (OC-18, OC-23).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Before the dot.
    pub major: u16,
    /// After the dot.
    pub minor: u16,
}

impl Version {
    /// The one spoken here.
    pub const V1_0: Version = Version { major: 1, minor: 0 };

    /// `major.minor` without leading zeros (SIMP-4.2.1.8-1, SIMP-4.2.1.8-2).
    pub fn parse(text: &str) -> Option<Version> {
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            let leading = digits.len() > 1 && digits.starts_with('0');
            if plain && !leading { digits.parse().ok() } else { None }
        };
        let (major, minor) = text.split_once('.')?;
        Some(Version { major: number(major)?, minor: number(minor)? })
    }
}

/// An integer in the strict form of OC-21: an optional `-` and ASCII digits.
fn integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

/// The two ends of a request (SIMP-5-3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parties<'a> {
    /// The recipient.
    pub to: Ima<'a>,
    /// The originator.
    pub from: Ima<'a>,
}

/// A message (SIMP-5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// Recipient and originator.
    pub parties: Parties<'a>,
    /// Where answers are to go, if not to `from`.
    pub reply_to: Option<Ima<'a>>,
    /// The MIME type of the body.
    pub content_type: &'a str,
    /// The body, at most [`limits::BODY`] octets.
    pub body: &'a str,
}

/// Presence information (SIMP-5.2-4 to -6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presence<'a> {
    /// Whose.
    pub regarding: Ima<'a>,
    /// Online or offline.
    pub status: State,
    /// Since when online; absent when offline.
    pub online: Option<Date>,
    /// The user's description, from his profile.
    pub message: &'a str,
}

/// `note change` and `note subscription end` (SIMP-6.1-1, SIMP-6.2-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Note<'a> {
    /// The subscriber, and the notifier of the presentity's domain.
    pub parties: Parties<'a>,
    /// What is noted.
    pub presence: Presence<'a>,
}

/// A digest challenge and where to answer it: in `challenge` and in `divert`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Challenge<'a> {
    /// Part of what is digested.
    pub nonce: &'a str,
    /// To be given back as it is.
    pub opaque: &'a str,
    /// The digest's name; empty means MD5 (OC-12).
    pub algorithm: &'a str,
    /// The host of the notification connection.
    pub host: &'a str,
    /// Its port, not 0.
    pub port: u16,
}

/// A request (part of the draft in brackets). Each is answered by a [`Reply`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Request<'a> {
    /// `send` (5.1)
    Send(Message<'a>),
    /// `fetch` (5.2)
    Fetch(Parties<'a>),
    /// `subscribe` (5.3)
    Subscribe {
        /// Presentity and subscriber.
        parties: Parties<'a>,
        /// For how long, milliseconds; negative asks for the longest.
        duration: i64,
    },
    /// `unsubscribe` (5.4)
    Unsubscribe {
        /// Presentity and subscriber.
        parties: Parties<'a>,
        /// Given out for the subscription.
        opaque: &'a str,
    },
    /// `inquire` (5.5)
    Inquire(Parties<'a>),
    /// `note change` (6.1)
    NoteChange(Note<'a>),
    /// `note subscription end` (6.2)
    NoteSubscriptionEnd(Note<'a>),
    /// `login` (7.1)
    Login {
        /// A user name or an address (OC-11).
        user: &'a str,
        /// What the client can do, separated by spaces, best first (our extension).
        algorithms: Option<&'a str>,
    },
    /// `connect` (7.2)
    Connect {
        /// The proof.
        authorization: &'a str,
        /// Of the challenge.
        opaque: &'a str,
        /// What the client wants to speak.
        version: Version,
    },
    /// `get profile` (8.1)
    GetProfile,
    /// `set profile` (8.2): the whole of it.
    SetProfile(Entries<'a>),
    /// `get acl` (9.1)
    GetAcl,
    /// `set acl` (9.2): the whole of it.
    SetAcl(Entries<'a>),
    /// `drop subscription` (10.1)
    DropSubscription {
        /// Whose.
        subscriber: Ima<'a>,
    },
    /// Something else that wants a reply: answered `error` (SIMP-11-1, OC-60).
    Unrecognized,
}

/// A reply (3.3 of the catalogue of actions: `okay`, `error`, `describe`, `challenge`, `self`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reply<'a> {
    /// `okay`
    Okay {
        /// For people.
        message: &'a str,
        /// Our own: who it was that could not see it arrive, if anybody.
        unreliable: Option<&'a str>,
    },
    /// `error`
    Error {
        /// For people.
        message: &'a str,
    },
    /// `describe`
    Describe {
        /// What was asked for.
        presence: Presence<'a>,
        /// In reply to `subscribe`.
        subscription: Option<Granted<'a>>,
    },
    /// `challenge`
    Challenge {
        /// To be answered on a notification connection.
        challenge: Challenge<'a>,
        /// The oldest version served.
        min_version: Version,
        /// The newest.
        max_version: Version,
    },
    /// `self`: a profile or an access control list.
    Own(Entries<'a>),
}

/// A subscription as it was granted (SIMP-5.3-6, SIMP-5.3-7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted<'a> {
    /// For how long, milliseconds.
    pub duration: i64,
    /// Proves the right to end it.
    pub opaque: &'a str,
}

/// A command that draws no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OneWay<'a> {
    /// `note subscription` (6.3)
    NoteSubscription {
        /// Who subscribes.
        subscriber: Ima<'a>,
    },
    /// `note subscription lapse` (6.4)
    NoteSubscriptionLapse {
        /// Who no longer does.
        subscriber: Ima<'a>,
    },
    /// `divert` (6.5)
    Divert(Challenge<'a>),
}

/// A well-formed command.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Command<'a> {
    /// Wants a reply.
    Request {
        /// For the reply's `response`.
        id: &'a str,
        /// What is wanted.
        request: Request<'a>,
        /// All of it, so that it can be relayed with what is not in the pattern (OC-64).
        object: Object<'a>,
    },
    /// Replies to a request of ours.
    Reply {
        /// The request's id.
        id: &'a str,
        /// What came of it.
        reply: Reply<'a>,
    },
    /// Wants none.
    OneWay(OneWay<'a>),
    /// To be ignored: an unknown action, or a request that gives no id to reply to (OC-60, OC-61).
    Ignored,
}

/// The entries of a profile or an access control list: all but `action`, `request` and `response`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entries<'a>(Object<'a>);

impl<'a> Entries<'a> {
    /// In the order of the input.
    pub fn iter(self) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let reserved = [Key::Action, Key::Request, Key::Response];
        self.0.entries().filter(move |e| !reserved.iter().any(|key| key.as_str() == e.key))
    }

    /// The value of a key.
    pub fn find(self, key: &str) -> Option<&'a str> {
        self.iter().find(|e| e.key == key).map(|e| e.value)
    }
}

impl<'a> Command<'a> {
    /// Reads a whole `<properties>` element as a command.
    ///
    /// # Errors
    /// [`BadObject`], which says whether the stream or only this command is bad.
    pub fn read(data: &'a [u8], scratch: &'a mut Scratch) -> Result<Command<'a>, BadObject<'a>> {
        Command::parse(Object::parse(data, scratch)?).map_err(BadObject::Malformed)
    }

    /// What the object means.
    ///
    /// # Errors
    /// [`Malformed`], with whom it concerns.
    pub fn parse(object: Object<'a>) -> Result<Command<'a>, Malformed<'a>> {
        match (object.get(Key::Request), object.get(Key::Response)) {
            (Some(_), Some(_)) => Err(Fault::BothIds),
            (Some(id), None) => sequence_id(id)
                .and_then(|()| Request::parse(object))
                .map(|request| Command::Request { id, request, object }),
            (None, Some(id)) => {
                sequence_id(id).and_then(|()| Reply::parse(object)).map(|reply| Command::Reply { id, reply })
            }
            (None, None) => {
                OneWay::parse(object).map(|one_way| one_way.map_or(Command::Ignored, Command::OneWay))
            }
        }
        .map_err(|fault| object.malformed(fault))
    }
}

/// Takes an `okay` off the front of `data` if it is written exactly as [`write::okay`](super::write::okay) writes the
/// one that most requests of ours get: what it answers, and how many octets it took. Nobody need take such a one
/// apart. None: it is something else, or not whole.
pub(super) fn plain_okay(data: &[u8]) -> Option<(TxId, usize)> {
    const BEFORE: &[u8] = b"<properties><entry key=\"action\">okay</entry><entry key=\"response\">";
    const AFTER: &[u8] = b"</entry><entry key=\"message\">okay</entry></properties>";
    let (id, rest) = TxId::read(data.strip_prefix(BEFORE)?)?;
    let rest = rest.strip_prefix(AFTER)?;
    Some((id, data.len() - rest.len()))
}

fn sequence_id(id: &str) -> Result<(), Fault> {
    if id.len() > limits::SEQUENCE_ID { Err(Fault::TooLarge) } else { Ok(()) }
}

impl<'a> Request<'a> {
    fn parse(o: Object<'a>) -> Result<Request<'a>, Fault> {
        Ok(match o.action()? {
            "send" => Request::Send(o.message()?),
            "fetch" => Request::Fetch(o.parties()?),
            "subscribe" => Request::Subscribe { parties: o.parties()?, duration: o.time(Key::Duration)? },
            "unsubscribe" => Request::Unsubscribe { parties: o.parties()?, opaque: o.string(Key::Opaque)? },
            "inquire" => Request::Inquire(o.parties()?),
            "note change" => Request::NoteChange(o.note()?),
            "note subscription end" => Request::NoteSubscriptionEnd(o.note()?),
            "login" => Request::Login { user: o.string(Key::User)?, algorithms: o.get(Key::Algorithms) },
            "connect" => Request::Connect {
                authorization: o.string(Key::Authorization)?,
                opaque: o.string(Key::Opaque)?,
                version: o.version(Key::Version)?,
            },
            "get profile" => Request::GetProfile,
            "set profile" => Request::SetProfile(o.profile()?),
            "get acl" => Request::GetAcl,
            "set acl" => Request::SetAcl(Entries(o)),
            "drop subscription" => Request::DropSubscription { subscriber: o.ima(Key::Subscriber)? },
            _ => Request::Unrecognized,
        })
    }
}

impl<'a> Reply<'a> {
    fn parse(o: Object<'a>) -> Result<Reply<'a>, Fault> {
        Ok(match o.action()? {
            "okay" => Reply::Okay { message: o.string(Key::Message)?, unreliable: o.get(Key::Unreliable) },
            "error" => Reply::Error { message: o.string(Key::Message)? },
            "describe" => Reply::Describe { presence: o.presence()?, subscription: o.granted()? },
            "challenge" => Reply::Challenge {
                challenge: o.challenge()?,
                min_version: o.version(Key::MinVersion)?,
                max_version: o.version(Key::MaxVersion)?,
            },
            "self" => Reply::Own(Entries(o)),
            // No reply that any request may have: the request has failed.
            _ => return Err(Fault::Value(Key::Action)),
        })
    }
}

impl<'a> OneWay<'a> {
    /// None: not one of these.
    fn parse(o: Object<'a>) -> Result<Option<OneWay<'a>>, Fault> {
        Ok(Some(match o.action()? {
            "note subscription" => OneWay::NoteSubscription { subscriber: o.ima(Key::Subscriber)? },
            "note subscription lapse" => {
                OneWay::NoteSubscriptionLapse { subscriber: o.ima(Key::Subscriber)? }
            }
            "divert" => OneWay::Divert(o.challenge()?),
            _ => return Ok(None),
        }))
    }
}

/// Entries by their types (SIMP-4.2.1).
impl<'a> Object<'a> {
    fn action(&self) -> Result<&'a str, Fault> {
        self.get(Key::Action).ok_or(Fault::NoAction)
    }

    fn string(&self, key: Key) -> Result<&'a str, Fault> {
        self.get(key).ok_or(Fault::Missing(key))
    }

    /// A required entry of some type.
    fn typed<T>(&self, key: Key, parse: impl Fn(&'a str) -> Option<T>) -> Result<T, Fault> {
        parse(self.string(key)?).ok_or(Fault::Value(key))
    }

    /// A bracketed entry of some type.
    fn optional<T>(&self, key: Key, parse: impl Fn(&'a str) -> Option<T>) -> Result<Option<T>, Fault> {
        self.get(key).map(|text| parse(text).ok_or(Fault::Value(key))).transpose()
    }

    fn ima(&self, key: Key) -> Result<Ima<'a>, Fault> {
        self.typed(key, Ima::parse)
    }

    fn time(&self, key: Key) -> Result<i64, Fault> {
        self.typed(key, integer)
    }

    fn version(&self, key: Key) -> Result<Version, Fault> {
        self.typed(key, Version::parse)
    }

    fn parties(&self) -> Result<Parties<'a>, Fault> {
        Ok(Parties { to: self.ima(Key::To)?, from: self.ima(Key::From)? })
    }

    fn message(&self) -> Result<Message<'a>, Fault> {
        let message = Message {
            parties: self.parties()?,
            reply_to: self.optional(Key::ReplyTo, Ima::parse)?,
            content_type: self.typed(Key::Type, |text| is_media_type(text).then_some(text))?,
            body: self.string(Key::Body)?,
        };
        if message.body.len() > limits::BODY { Err(Fault::TooLarge) } else { Ok(message) }
    }

    fn presence(&self) -> Result<Presence<'a>, Fault> {
        Ok(Presence {
            regarding: self.ima(Key::Regarding)?,
            status: self.typed(Key::Status, State::parse)?,
            online: self.optional(Key::Online, |text| integer(text).filter(|ms| *ms >= 0).map(Date))?,
            message: self.string(Key::Message)?,
        })
    }

    fn note(&self) -> Result<Note<'a>, Fault> {
        Ok(Note { parties: self.parties()?, presence: self.presence()? })
    }

    /// What `describe` has beyond presence when it replies to `subscribe`: both or neither.
    fn granted(&self) -> Result<Option<Granted<'a>>, Fault> {
        if self.get(Key::Duration).is_none() && self.get(Key::Opaque).is_none() {
            return Ok(None);
        }
        Ok(Some(Granted { duration: self.time(Key::Duration)?, opaque: self.string(Key::Opaque)? }))
    }

    fn challenge(&self) -> Result<Challenge<'a>, Fault> {
        let port = |text| integer(text).and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0);
        Ok(Challenge {
            nonce: self.string(Key::Nonce)?,
            opaque: self.string(Key::Opaque)?,
            algorithm: self.string(Key::Algorithm)?,
            host: self.string(Key::Host)?,
            port: self.typed(Key::Port, port)?,
        })
    }

    fn profile(self) -> Result<Entries<'a>, Fault> {
        let entries = Entries(self);
        let size: usize = entries.iter().map(|e| e.key.len() + e.value.len()).sum();
        if size > limits::PROFILE { Err(Fault::TooLarge) } else { Ok(entries) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::write;
    use super::*;

    #[test]
    fn the_okay_that_nearly_all_are_is_read_as_any_other() {
        // SIMP-3.6-7, SIMP-6.1-5
        let mut okay = Vec::new();
        for id in ["0", "1048577", "18446744073709551615"] {
            okay.clear();
            write::okay(&mut okay, id, "okay");
            let whole = okay.len() - 1;
            okay.extend_from_slice(b"<properties>");
            assert_eq!(plain_okay(&okay), Some((TxId(id.parse().unwrap()), whole)));
            let mut scratch = Scratch::new();
            let read = Command::read(&okay[..whole], &mut scratch).unwrap();
            assert_eq!(read, Command::Reply { id, reply: Reply::Okay { message: "okay", unreliable: None } });
            for cut in 0..whole {
                assert_eq!(plain_okay(&okay[..cut]), None, "{cut}");
            }
            // Whatever octet differs.
            for at in (0..whole).filter(|at| !okay[*at].is_ascii_digit()) {
                let mut other = okay.clone();
                other[at] ^= 0x80;
                assert_eq!(plain_okay(&other), None, "{at}");
            }
        }
        let others =
            [("", "okay"), ("x", "okay"), ("-1", "okay"), ("1 ", "okay"), ("1", "fine"), ("01", "okay")];
        for (id, words) in others.into_iter().chain([("18446744073709551616", "okay")]) {
            okay.clear();
            write::okay(&mut okay, id, words);
            assert_eq!(plain_okay(&okay), None, "{id} {words}");
        }
        okay.clear();
        write::okay(&mut okay, &"1".repeat(21), "okay");
        assert_eq!(plain_okay(&okay), None);
        okay.clear();
        write::okay_unreliable(&mut okay, "1", "okay", "b.test");
        assert_eq!(plain_okay(&okay), None);
    }
}

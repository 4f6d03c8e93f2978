//! The hub's nouns: what one address asks of another, what is answered, and why it may be refused.

use std::borrow::Cow;
use std::sync::Arc;

use compact_str::CompactString;

use super::address::Address;
use crate::clock::Date;
use crate::store::record::{Document, ItemId};

/// The user name of a server's own address in each of its domains (SIMP-4.2.1.2-3).
pub const NOTIFIER: &str = "notifier";

/// A connection that waits for answers or takes deliveries; named by the node, only compared here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(pub u64);

/// A live contact of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(pub u32);

/// A request on its way: a slot of the hub's table and which use of it this is. Small enough to
/// be the sequence identifier on the wire, so that an answer finds its way back without a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TxId(pub u64);

impl TxId {
    /// Takes one off the front of `data`, spelt as we spell it: decimal digits, no zero before others. None: it
    /// is something else.
    pub fn read(data: &[u8]) -> Option<(TxId, &[u8])> {
        let (mut number, mut length) = (0_u64, 0);
        for digit in data.iter().map(|octet| octet.wrapping_sub(b'0')).take_while(|digit| *digit <= 9) {
            number = number.checked_mul(10)?.checked_add(u64::from(digit))?;
            length += 1;
        }
        let spelt = length == 1 || length > 1 && data.first() != Some(&b'0');
        if spelt { Some((TxId(number), data.get(length..)?)) } else { None }
    }
}

/// A family of protocols whose members understand each other's native form of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family(pub u8);

/// A request as it came, in its family's own form, for recipients of the same family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Native<'a> {
    /// Whose form.
    pub family: Family,
    /// The form, without what belongs to one hop.
    pub octets: Cow<'a, [u8]>,
}

impl Native<'_> {
    /// A copy that outlives the bytes it was parsed from.
    pub fn into_owned(self) -> Native<'static> {
        Native { family: self.family, octets: Cow::Owned(self.octets.into_owned()) }
    }
}

/// What one address asks of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Of whom it is asked.
    pub to: Address,
    /// Who asks; believed from here on.
    pub from: Address,
    /// What.
    pub request: Request<'a>,
    /// As it came.
    pub native: Option<Native<'a>>,
    /// What is known of its way here.
    pub trail: Trail<'a>,
}

/// How sure it is that words come from who they say they come from: the weakest hop so far decides
/// (COMMON-11.4-1 to COMMON-11.4-6). Ordered: more is surer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strength {
    /// Anybody could have forged it.
    None,
    /// Whoever listened earlier could have.
    Weak,
    /// Whoever can substitute packets or forge DNS could have.
    Medium,
    /// Nobody could have.
    Strong,
}

/// What is known of the way that a request has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trail<'a> {
    /// Of the weakest hop.
    pub strength: Strength,
    /// The domains that a message has passed through, separated by white space (IMTP-11.8-1).
    pub visited: Cow<'a, str>,
}

impl Trail<'_> {
    /// Of what this server asks by itself.
    pub const OURS: Trail<'static> = Trail { strength: Strength::Strong, visited: Cow::Borrowed("") };

    /// Of a protocol that tells nothing but who is at the other end.
    pub fn of(strength: Strength) -> Trail<'static> {
        Trail { strength, ..Trail::OURS }
    }

    fn into_owned(self) -> Trail<'static> {
        Trail { strength: self.strength, visited: Cow::Owned(self.visited.into_owned()) }
    }
}

impl Envelope<'_> {
    /// What this server asks of somebody by itself.
    pub fn ours(from: Address, to: Address, request: Request<'_>) -> Envelope<'_> {
        Envelope { to, from, request, native: None, trail: Trail::OURS }
    }

    /// A copy that outlives the bytes it was parsed from.
    pub fn into_owned(self) -> Envelope<'static> {
        Envelope {
            to: self.to,
            from: self.from,
            request: self.request.into_owned(),
            native: self.native.map(Native::into_owned),
            trail: self.trail.into_owned(),
        }
    }
}

/// The requests that cross the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request<'a> {
    /// Deliver this message now.
    Message(Message<'a>),
    /// What is your presence?
    Fetch,
    /// Tell me your presence until the lease is over.
    Subscribe {
        /// For how long.
        lease: Lease,
        /// What the watcher's home server calls the subscription, if it is the one to name it (PITP-11.7-2);
        /// may be empty.
        name: Option<Cow<'a, str>>,
    },
    /// No more of it.
    Unsubscribe {
        /// What was given out for the subscription, or what it was named.
        token: Cow<'a, str>,
    },
    /// What server is this?
    Inquire,
    /// The presence of somebody you watch has changed.
    Change(Notice<'a>),
    /// Your subscription has ended before its time.
    End(Notice<'a>),
}

/// What a watcher is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice<'a> {
    /// Of whom, and what.
    pub report: Report,
    /// The name of the subscription that it is told for; without one it is for all of the watcher's.
    pub name: Option<Cow<'a, str>>,
}

impl Request<'_> {
    fn into_owned(self) -> Request<'static> {
        match self {
            Request::Message(m) => Request::Message(Message {
                content_type: Cow::Owned(m.content_type.into_owned()),
                body: Cow::Owned(m.body.into_owned()),
                reply_to: m.reply_to,
                note: m.note,
                hears_more: m.hears_more,
                extras: m
                    .extras
                    .into_iter()
                    .map(|(name, value)| (Cow::Owned(name.into_owned()), Cow::Owned(value.into_owned())))
                    .collect(),
            }),
            Request::Fetch => Request::Fetch,
            Request::Subscribe { lease, name } => {
                Request::Subscribe { lease, name: name.map(|name| Cow::Owned(name.into_owned())) }
            }
            Request::Unsubscribe { token } => Request::Unsubscribe { token: Cow::Owned(token.into_owned()) },
            Request::Inquire => Request::Inquire,
            Request::Change(notice) => Request::Change(notice.into_owned()),
            Request::End(notice) => Request::End(notice.into_owned()),
        }
    }
}

impl Notice<'_> {
    fn into_owned(self) -> Notice<'static> {
        Notice { report: self.report, name: self.name.map(|name| Cow::Owned(name.into_owned())) }
    }
}

/// How long a subscription is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// As long as is granted.
    Longest,
    /// This many milliseconds; more than none.
    Millis(i64),
    /// Until it is ended.
    Open,
}

/// An instant message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    /// The MIME type of the body.
    pub content_type: Cow<'a, str>,
    /// The body.
    pub body: Cow<'a, [u8]>,
    /// Where answers should go, if not to the sender.
    pub reply_to: Option<Address>,
    /// If it has waited in the store: what goes along with it.
    pub note: Option<Note>,
    /// Can the one who sent it be told more than that it has arrived ([`Thanks::payload`])?
    pub hears_more: bool,
    /// What else its sender has put into it, name by name, for recipients of another family than his.
    pub extras: Extras<'a>,
}

/// Names and values.
pub type Extras<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// What goes along with a message that has waited for its recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Its name, the same however often it is delivered.
    pub item: ItemId,
    /// When the message was sent: this one, or the one that this is a report of.
    pub date: Date,
    /// For a report: to whom the message was that it is about.
    pub regarding: Option<Address>,
}

/// Somebody's presence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// Can he be reached now?
    pub online: bool,
    /// Since when, if he can and it is known.
    pub since: Option<Date>,
    /// His own words about it; may be empty.
    pub description: Arc<str>,
    /// The document that says it, if it was published as one. What else is said here was taken from it.
    pub document: Option<Arc<Document>>,
}

impl Presence {
    /// Of somebody of whom nothing is known, or may be told.
    pub fn unknown() -> Presence {
        Presence { online: false, since: None, description: "".into(), document: None }
    }
}

/// A presence, and whose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whose.
    pub presentity: Address,
    /// What.
    pub presence: Presence,
}

/// What a recipient says when he has taken something.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Thanks<'a> {
    /// His own words; may be empty.
    pub words: Cow<'a, str>,
    /// A message of his own in return: that he is away, say (IMTP-16.2-14).
    pub payload: Option<Payload<'a>>,
    /// Who it was that could not see it arrive: a domain or an address with its scheme. What lies beyond
    /// is uncertain (IMTP-16.2-11).
    pub unreliable: Option<Cow<'a, str>>,
}

impl<'a> Thanks<'a> {
    /// Only words.
    pub fn words(words: impl Into<Cow<'a, str>>) -> Thanks<'a> {
        Thanks { words: words.into(), ..Thanks::default() }
    }

    fn into_owned(self) -> Thanks<'static> {
        Thanks {
            words: Cow::Owned(self.words.into_owned()),
            payload: self.payload.map(|payload| Payload {
                content_type: payload.content_type.map(|t| Cow::Owned(t.into_owned())),
                octets: Cow::Owned(payload.octets.into_owned()),
            }),
            unreliable: self.unreliable.map(|who| Cow::Owned(who.into_owned())),
        }
    }
}

/// Octets, and what they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload<'a> {
    /// The MIME type; none: plain text in UTF-8.
    pub content_type: Option<Cow<'a, str>>,
    /// The octets.
    pub octets: Cow<'a, [u8]>,
}

/// An answer on its way back, and what is known of its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply<'a> {
    /// What is said.
    pub answer: Answer<'a>,
    /// Who says it.
    pub by: By,
    /// Of the weakest hop.
    pub strength: Strength,
    /// As it came.
    pub native: Option<Native<'a>>,
}

impl<'a> Reply<'a> {
    /// What this server says by itself.
    pub fn ours(answer: Answer<'a>) -> Reply<'a> {
        Reply { answer, by: By::Here, strength: Strength::Strong, native: None }
    }

    /// A copy that outlives the bytes it was parsed from.
    pub fn into_owned(self) -> Reply<'static> {
        Reply {
            answer: self.answer.into_owned(),
            by: self.by,
            strength: self.strength,
            native: self.native.map(Native::into_owned),
        }
    }
}

/// Who says an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// This server.
    Here,
    /// An endpoint of the one who was asked.
    Endpoint,
    /// The server of his domain.
    Server,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Done.
    Ok(Thanks<'a>),
    /// Here is the presence.
    Described(Report),
    /// You are subscribed.
    Granted {
        /// The present state.
        report: Report,
        /// The lease granted, milliseconds; none: until it is ended.
        millis: Option<i64>,
        /// What ends the subscription; empty if it was granted under the name it was asked for.
        token: Cow<'a, str>,
    },
    /// Not done.
    Refused {
        /// Why.
        refusal: Refusal,
        /// The recipient's own words, if he refused it himself.
        words: Option<Cow<'a, str>>,
    },
}

impl Answer<'_> {
    /// Done, and nothing more to say.
    pub fn done() -> Answer<'static> {
        Answer::Ok(Thanks::default())
    }

    /// A refusal without words.
    pub fn refused(refusal: Refusal) -> Answer<'static> {
        Answer::Refused { refusal, words: None }
    }

    /// A copy that outlives the bytes it was parsed from.
    pub fn into_owned(self) -> Answer<'static> {
        match self {
            Answer::Ok(thanks) => Answer::Ok(thanks.into_owned()),
            Answer::Described(report) => Answer::Described(report),
            Answer::Granted { report, millis, token } => {
                Answer::Granted { report, millis, token: Cow::Owned(token.into_owned()) }
            }
            Answer::Refused { refusal, words } => {
                Answer::Refused { refusal, words: words.map(|w| Cow::Owned(w.into_owned())) }
            }
        }
    }
}

/// Why a request was not done. Each protocol maps each of these to its own code in one match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// The request makes no sense.
    Malformed,
    /// Nobody here knows such a request.
    Unsupported,
    /// The sender may not speak as the one he says he is.
    SourceRefused,
    /// The recipient does not want it.
    TargetRefuses,
    /// There is no such recipient.
    NotFound,
    /// The recipient is not there.
    NoListeners,
    /// The address is in a domain that is not ours to carry to.
    NotOurs,
    /// Too many requests, subscriptions, or kept messages.
    QuotaExceeded,
    /// Too large.
    TooLarge,
    /// There is no such subscription.
    NotSubscribed,
    /// The message goes round in a circle.
    Loop,
    /// There is no entry of that number in the list.
    OutOfRange,
    /// Somebody else has changed the entry meanwhile.
    Raced,
    /// We are short of something: disk, memory, helpers.
    Resources,
    /// The recipient's server can't be reached.
    Communications,
    /// The recipient's domain doesn't exist, or has no server.
    NoSuchDomain,
    /// The recipient, or his server, did not answer in time.
    NoAnswer,
}

impl Refusal {
    /// Does it tell something about the recipient that is no stranger's business? (design 4, OC-56)
    pub fn is_about_the_recipient(self) -> bool {
        matches!(
            self,
            Refusal::TargetRefuses | Refusal::NotFound | Refusal::NoListeners | Refusal::NotSubscribed
        )
    }

    /// In words, for a person who reads a report of it.
    pub fn in_words(self) -> &'static str {
        match self {
            Refusal::Malformed => "it was malformed",
            Refusal::Unsupported => "the request is not supported",
            Refusal::SourceRefused => "the sender was not verified",
            Refusal::TargetRefuses | Refusal::NotFound | Refusal::NoListeners => {
                "the recipient is not available"
            }
            Refusal::NotOurs => "the address is not served here",
            Refusal::QuotaExceeded => "there was too much of it",
            Refusal::TooLarge => "it was too large",
            Refusal::NotSubscribed => "there is no such subscription",
            Refusal::Loop => "it went round in a circle",
            Refusal::OutOfRange => "there is no such entry",
            Refusal::Raced => "somebody else has changed it meanwhile",
            Refusal::Resources => "a server was short of resources",
            Refusal::Communications => "the recipient's server could not be reached",
            Refusal::NoSuchDomain => "there is no such domain, or it has no server",
            Refusal::NoAnswer => "the recipient did not answer",
        }
    }
}

/// Who waits for an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A connection; the tag is the peer's own name for its request.
    Peer {
        /// Which.
        handle: Handle,
        /// The peer's name for the request.
        tag: CompactString,
    },
    /// The hub itself.
    Hub(super::Errand),
    /// Nobody.
    Nobody,
}

/// News for an endpoint that wants no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News<'a> {
    /// Somebody watches you.
    WatcherCame(&'a Address),
    /// He watches you no more.
    WatcherWent(&'a Address),
    /// A subscription has begun, of this name: he may hold several.
    Subscribed(&'a Address, &'a str),
    /// It has ended.
    Unsubscribed(&'a Address, &'a str),
    /// Somebody has asked for your presence, once.
    Fetched(&'a Address),
}

/// What a live contact of a user takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seat {
    /// Messages, news of those whom the user watches, and who watches him.
    Whole,
    /// Messages, when it has said from whom ([`Hub::listen`](super::Hub::listen)).
    Inbox,
    /// News of those whom it has asked to watch by itself ([`Hub::watch`](super::Hub::watch)), and who watches the
    /// user, if it wants that ([`Hub::watchers_wanted`](super::Hub::watchers_wanted)).
    Watcher,
}

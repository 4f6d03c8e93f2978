//! The hub's nouns: what one address asks of another, what is answered, and why it may be refused.

use std::borrow::Cow;
use std::sync::Arc;

use compact_str::CompactString;

use super::address::Address;
use crate::clock::Date;
use crate::store::record::ItemId;

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
    fn into_owned(self) -> Native<'static> {
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
}

impl Envelope<'_> {
    /// A copy that outlives the bytes it was parsed from.
    pub fn into_owned(self) -> Envelope<'static> {
        Envelope {
            to: self.to,
            from: self.from,
            request: self.request.into_owned(),
            native: self.native.map(Native::into_owned),
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
    Subscribe(Lease),
    /// No more of it.
    Unsubscribe {
        /// What was given out for the subscription.
        token: Cow<'a, str>,
    },
    /// What server is this?
    Inquire,
    /// The presence of somebody you watch has changed.
    Change(Report),
    /// Your subscription has ended before its time.
    End(Report),
}

impl Request<'_> {
    fn into_owned(self) -> Request<'static> {
        match self {
            Request::Message(m) => Request::Message(Message {
                content_type: Cow::Owned(m.content_type.into_owned()),
                body: Cow::Owned(m.body.into_owned()),
                reply_to: m.reply_to,
                note: m.note,
            }),
            Request::Fetch => Request::Fetch,
            Request::Subscribe(lease) => Request::Subscribe(lease),
            Request::Unsubscribe { token } => Request::Unsubscribe { token: Cow::Owned(token.into_owned()) },
            Request::Inquire => Request::Inquire,
            Request::Change(report) => Request::Change(report),
            Request::End(report) => Request::End(report),
        }
    }
}

/// How long a subscription is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// As long as is granted.
    Longest,
    /// This many milliseconds; more than none.
    Millis(i64),
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
}

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
}

/// A presence, and whose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whose.
    pub presentity: Address,
    /// What.
    pub presence: Presence,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Done; the recipient's own words, if he had any.
    Ok(Cow<'a, str>),
    /// Here is the presence.
    Described(Report),
    /// You are subscribed.
    Granted {
        /// The present state.
        report: Report,
        /// The lease granted, milliseconds.
        millis: i64,
        /// What ends the subscription.
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
    /// A refusal without words.
    pub fn refused(refusal: Refusal) -> Answer<'static> {
        Answer::Refused { refusal, words: None }
    }

    /// A copy that outlives the bytes it was parsed from.
    pub fn into_owned(self) -> Answer<'static> {
        match self {
            Answer::Ok(words) => Answer::Ok(Cow::Owned(words.into_owned())),
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
    /// We are short of something: disk, memory, helpers.
    Resources,
    /// The recipient's server can't be reached.
    Communications,
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
            Refusal::QuotaExceeded => "there were too many requests",
            Refusal::TooLarge => "it was too large",
            Refusal::NotSubscribed => "there is no such subscription",
            Refusal::Resources => "a server was short of resources",
            Refusal::Communications => "the recipient's server could not be reached",
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
}

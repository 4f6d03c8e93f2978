//! Between SIMP's commands and the hub's operations, both ways.
//!
//! Every refusal has its text in one match, and every text of a peer's `error` its refusal in another.

use std::borrow::Cow;
use std::sync::Arc;

use super::command::{Granted, Reply, State};
use super::command::{Ima, Message as SimpMessage, Note as SimpNote, Parties, Presence as SimpPresence};
use super::object::{Key, Object, Scratch};
use super::{write, xml};
use crate::hub::address::{Address, Domains};
use crate::hub::op::{
    self, Answer, Envelope, Extras, Family, Lease, Message, News, Note, Notice, Presence, Refusal, Report,
    Request, Thanks, TxId,
};
use crate::hub::{Hub, Kind};
use crate::limits;
use crate::store::record::Entries;

/// SIMP's name among the families: its native form is the entries of a command as they came, without
/// `request` (OC-64).
pub const FAMILY: Family = Family(1);

/// The text of a refusal (OC-62). Strangers and neighbours alike are told no more than that somebody is
/// not available (OC-56).
pub fn text(refusal: Refusal, kind: Kind) -> &'static str {
    match refusal {
        Refusal::Malformed => "malformed command",
        Refusal::Unsupported => "unrecognized request",
        Refusal::SourceRefused => "originator is not verified",
        Refusal::TargetRefuses | Refusal::NotFound | Refusal::NoListeners | Refusal::NotSubscribed => {
            match kind {
                Kind::Fetch | Kind::Subscribe => "presence is not available",
                Kind::Unsubscribe => "no such subscription",
                Kind::Own => "no such subscription",
                Kind::Message | Kind::Inquire | Kind::Change | Kind::End => "recipient is not available",
            }
        }
        Refusal::NotOurs => "not a local address",
        Refusal::QuotaExceeded | Refusal::Resources => "too many requests",
        Refusal::TooLarge => "too large",
        Refusal::OutOfRange => "malformed command",
        Refusal::Raced => "changed meanwhile",
        Refusal::Loop => "too many hops",
        Refusal::Communications | Refusal::NoSuchDomain => "remote server is not available",
        Refusal::NoAnswer => "no answer",
    }
}

/// What a peer's `error` means.
pub fn refusal(text: &str) -> Refusal {
    match text {
        "malformed command" => Refusal::Malformed,
        "unrecognized request" => Refusal::Unsupported,
        "originator is not verified" | "authentication failed" | "not allowed on this connection" => {
            Refusal::SourceRefused
        }
        "presence is not available" => Refusal::TargetRefuses,
        "no such subscription" => Refusal::NotSubscribed,
        "not a local address" => Refusal::NotFound,
        "remote server is not available" | "no answer" => Refusal::Communications,
        "too large" => Refusal::TooLarge,
        "too many requests" => Refusal::Resources,
        _ => Refusal::NoListeners,
    }
}

/// A client's `error` in reply to what it was handed.
pub fn refused_by_client(message: &str) -> Answer<'_> {
    Answer::Refused { refusal: Refusal::TargetRefuses, words: Some(cut(message).into()) }
}

/// At most so much of a person's words is carried back (OC-58).
fn cut(words: &str) -> &str {
    match words.char_indices().find(|(at, c)| at + c.len_utf8() > limits::REPLY_TEXT) {
        Some((at, _)) => &words[..at],
        None => words,
    }
}

/// Writes the reply to a request that came by SIMP.
pub fn answer(out: &mut Vec<u8>, id: &str, kind: Kind, answer: &Answer<'_>) {
    match answer {
        Answer::Ok(thanks) => match thanks.unreliable.as_deref().filter(|who| xml::is_text(who)) {
            Some(who) => write::okay_unreliable(out, id, &words(thanks), who),
            None => write::okay(out, id, &words(thanks)),
        },
        Answer::Described(report) => describe(out, id, report, None),
        Answer::Granted { report, millis, token } => {
            // A client of ours is always given a lease; a server that asked for none has given a name.
            let duration = millis.unwrap_or(limits::LEASE.as_millis() as i64);
            describe(out, id, report, Some(Granted { duration, opaque: token }));
        }
        Answer::Refused { words: Some(words), .. } => write::error(out, id, words),
        Answer::Refused { refusal, words: None } => write::error(out, id, text(*refusal, kind)),
    }
}

/// What a sender is told when a message was taken by somebody who can't tell what becomes of it.
const UNCERTAIN: &str = "accepted: it can not be told whether it arrives";

/// What a recipient says; a message of his in return too, if it is text.
fn words<'a>(thanks: &'a Thanks<'_>) -> Cow<'a, str> {
    let text = thanks.payload.as_ref().filter(|payload| {
        payload
            .content_type
            .as_deref()
            .is_none_or(|t| t.get(..5).is_some_and(|t| t.eq_ignore_ascii_case("text/")))
    });
    match text {
        Some(payload) if thanks.words.is_empty() => match String::from_utf8_lossy(&payload.octets) {
            Cow::Borrowed(text) => Cow::Borrowed(cut(text)),
            Cow::Owned(text) => Cow::Owned(cut(&text).to_owned()),
        },
        None if thanks.words.is_empty() && thanks.unreliable.is_some() => UNCERTAIN.into(),
        None if thanks.words.is_empty() => "okay".into(),
        Some(_) | None => Cow::Borrowed(&thanks.words),
    }
}

fn describe(out: &mut Vec<u8>, id: &str, report: &Report, granted: Option<Granted<'_>>) {
    write::describe(out, id, &presence(report), granted);
}

fn presence(report: &Report) -> SimpPresence<'_> {
    SimpPresence {
        regarding: Ima::of(&report.presentity),
        status: if report.presence.online { State::Online } else { State::Offline },
        online: report.presence.since,
        message: &report.presence.description,
    }
}

/// Can it be said in SIMP? Its values are text that XML can carry.
///
/// # Errors
/// [`Refusal::Unsupported`].
pub fn can_say(envelope: &Envelope<'_>) -> Result<(), Refusal> {
    if envelope.native.as_ref().is_some_and(|native| native.family == FAMILY) {
        return Ok(());
    }
    // Quoted local parts are no addresses here (OC-22).
    let quoted = |address: &Address| address.local().starts_with('"');
    let about = match &envelope.request {
        Request::Change(notice) | Request::End(notice) => quoted(&notice.report.presentity),
        _ => false,
    };
    if about || quoted(&envelope.from) || quoted(&envelope.to) {
        return Err(Refusal::Unsupported);
    }
    let Request::Message(message) = &envelope.request else { return Ok(()) };
    let text = std::str::from_utf8(&message.body).map_err(|_| Refusal::Unsupported)?;
    if !xml::is_text(text) || !xml::is_text(&message.content_type) {
        return Err(Refusal::Unsupported);
    }
    if write::fits(text, limits::VALUE) { Ok(()) } else { Err(Refusal::TooLarge) }
}

/// What watchers were told last, and by whom: what all watchers of somebody are told is written once.
#[derive(Debug, Default)]
pub struct Told {
    of: Option<(Address, Report)>,
    entries: Vec<u8>,
}

impl Told {
    fn entries(&mut self, from: &Address, report: &Report) -> &[u8] {
        if self.of.as_ref().is_none_or(|(by, what)| by != from || what != report) {
            self.entries.clear();
            write::note_entries(&mut self.entries, Ima::of(from), &presence(report));
            self.of = Some((from.clone(), report.clone()));
        }
        &self.entries
    }
}

/// Writes a request of the hub's to a notification connection or a link.
pub fn request(out: &mut Vec<u8>, tx: TxId, envelope: &Envelope<'_>, told: &mut Told) {
    if let Some(native) = envelope.native.as_ref().filter(|native| native.family == FAMILY) {
        match &envelope.request {
            Request::Message(Message { note: Some(note), .. }) => {
                let mut entries = others(&native.octets);
                notes(&mut entries, note);
                write::relay(out, tx.0, &entries);
            }
            _ => write::relay(out, tx.0, &native.octets),
        }
        return;
    }
    let parties = Parties { to: Ima::of(&envelope.to), from: Ima::of(&envelope.from) };
    match &envelope.request {
        Request::Message(message) => send(out, tx, parties, message),
        Request::Fetch => write::fetch(out, tx.0, &parties),
        Request::Subscribe { lease: Lease::Millis(millis), .. } => {
            write::subscribe(out, tx.0, &parties, *millis);
        }
        // There is no subscription without a lease here: whoever asked has it renewed.
        Request::Subscribe { lease: Lease::Longest | Lease::Open, .. } => {
            write::subscribe(out, tx.0, &parties, -1);
        }
        Request::Unsubscribe { token } => write::unsubscribe(out, tx.0, &parties, token),
        Request::Inquire => write::inquire(out, tx.0, &parties),
        Request::Change(Notice { report, .. }) => {
            write::note_change(out, tx.0, parties.to, told.entries(&envelope.from, report));
        }
        Request::End(Notice { report, .. }) => {
            write::note_subscription_end(out, tx.0, &SimpNote { parties, presence: presence(report) });
        }
    }
}

/// What another family's sender has added, as far as it can be said here: each key once, and none that means
/// something, or that we give a meaning ([`notes`]).
fn sayable<'m>(extras: &'m Extras<'_>) -> impl Iterator<Item = (&'m str, &'m str)> {
    let pairs = || extras.iter().map(|(key, value)| (key.as_ref(), value.as_ref()));
    pairs().enumerate().filter_map(move |(at, (key, value))| {
        let free = Key::of(key).is_none() && ![ITEM, SENT].contains(&key);
        let fits = key.len() <= limits::KEY && xml::is_text(key) && xml::is_text(value);
        (free && fits && pairs().take(at).all(|(before, _)| before != key)).then_some((key, value))
    })
}

fn send(out: &mut Vec<u8>, tx: TxId, parties: Parties<'_>, message: &Message<'_>) {
    // It is UTF-8, or could not be said here; the check is faster than the look for what may be amiss.
    let body = match std::str::from_utf8(&message.body) {
        Ok(body) => Cow::Borrowed(body),
        Err(_) => String::from_utf8_lossy(&message.body),
    };
    let reply_to = message.reply_to.as_ref().filter(|to| !to.local().starts_with('"')).map(Ima::of);
    let simp = SimpMessage { parties, reply_to, content_type: &message.content_type, body: &body };
    if message.note.is_none() && message.extras.is_empty() {
        return write::send(out, tx.0, &simp);
    }
    let mut entries = Vec::new();
    let reply_to = simp.reply_to.map(|ima| ("reply to", ima.as_str()));
    let fixed = [
        ("action", "send"),
        ("to", parties.to.as_str()),
        ("from", parties.from.as_str()),
        ("type", simp.content_type),
        ("body", simp.body),
    ];
    write::entries(&mut entries, fixed.into_iter().chain(reply_to).chain(sayable(&message.extras)));
    if let Some(note) = &message.note {
        notes(&mut entries, note);
    }
    write::relay(out, tx.0, &entries);
}

const ITEM: &str = "item";
const SENT: &str = "sent";

/// What goes along with a message that has waited: `item` names it, `sent` dates it, `regarding` says whom
/// a report is about.
fn notes(entries: &mut Vec<u8>, note: &Note) {
    let item = Hub::item_name(note.item);
    let sent = note.date.0.to_string();
    let regarding = note.regarding.as_ref().map(|address| (Key::Regarding.as_str(), address.as_str()));
    write::entries(entries, [(ITEM, &*item), (SENT, &*sent)].into_iter().chain(regarding));
}

/// The entries of a kept command but those that [`notes`] adds: however its sender has written them.
fn others(native: &[u8]) -> Vec<u8> {
    let document = [b"<properties>", native, b"</properties>"].concat();
    let (mut scratch, mut entries) = (Scratch::new(), Vec::new());
    // It was read once, when it came; nothing of what can't be read again is passed on.
    if let Ok(object) = Object::parse(&document, &mut scratch) {
        let ours = [ITEM, SENT, Key::Regarding.as_str()];
        let his = object.entries().filter(|entry| !ours.contains(&entry.key));
        write::entries(&mut entries, his.map(|entry| (entry.key, entry.value)));
    }
    entries
}

/// Writes news to a notification connection.
pub fn news(out: &mut Vec<u8>, news: News<'_>) {
    match news {
        News::WatcherCame(watcher) => write::note_subscription(out, watcher.as_str()),
        News::WatcherWent(watcher) => write::note_subscription_lapse(out, watcher.as_str()),
        // Only for those who tell a watcher's connections apart.
        News::Subscribed(..) | News::Unsubscribed(..) | News::Fetched(_) => {}
    }
}

/// Words that mean no more than that it has arrived are none.
fn thanks(message: &str) -> Thanks<'_> {
    if message == "okay" { Thanks::default() } else { Thanks::words(cut(message)) }
}

/// What a client says to what it was handed (SIMP-5.1-6, SIMP-6.1-5).
pub fn client_reply(reply: Reply<'_>) -> Answer<'_> {
    match reply {
        Reply::Okay { message, .. } => Answer::Ok(thanks(message)),
        Reply::Error { message } => refused_by_client(message),
        Reply::Describe { .. } | Reply::Challenge { .. } | Reply::Own(_) => {
            Answer::refused(Refusal::Malformed)
        }
    }
}

/// What another home server, of this domain, says to what it was asked. A message that it keeps for its user has
/// not arrived yet (IMTP-16.2-11).
pub fn server_reply<'a>(reply: Reply<'a>, hub: &Hub) -> Answer<'a> {
    match reply {
        Reply::Okay { message, unreliable } => {
            let said = if message == UNCERTAIN { Thanks::default() } else { thanks(message) };
            let who = unreliable.filter(|who| who.len() <= limits::IDENTIFIER);
            Answer::Ok(Thanks { unreliable: who.map(Cow::Borrowed), ..said })
        }
        Reply::Error { message } => {
            Answer::Refused { refusal: refusal(message), words: Some(cut(message).into()) }
        }
        Reply::Describe { presence, subscription } => match (report(presence, hub), subscription) {
            (Some(_), Some(granted)) if granted.duration <= 0 => Answer::refused(Refusal::Communications),
            (Some(report), Some(granted)) => {
                // No longer than we would grant: who believes more would renew too late, or reckon over the edge.
                let millis = granted.duration.min(limits::LEASE.as_millis() as i64);
                Answer::Granted { report, millis: Some(millis), token: granted.opaque.into() }
            }
            (Some(report), None) => Answer::Described(report),
            (None, _) => Answer::refused(Refusal::Malformed),
        },
        Reply::Challenge { .. } | Reply::Own(_) => Answer::refused(Refusal::Malformed),
    }
}

/// None also for a description that would be too long to pass on.
fn report(presence: SimpPresence<'_>, hub: &Hub) -> Option<Report> {
    if !write::fits(presence.message, limits::VALUE) {
        return None;
    }
    let online = presence.status == State::Online;
    Some(Report {
        presentity: hub.locate(presence.regarding.as_str()).ok()?,
        presence: Presence {
            online,
            since: presence.online,
            description: Arc::from(presence.message),
            document: None,
        },
    })
}

/// The entries of a `send` that have a meaning here; whatever else is there is its sender's.
const KNOWN: [Key; 7] = [Key::Request, Key::Action, Key::To, Key::From, Key::Type, Key::Body, Key::ReplyTo];

/// The hub's form of a message.
pub fn message<'a>(message: SimpMessage<'a>, object: &Object<'a>, hub: &Hub) -> Option<Request<'a>> {
    let reply_to = match message.reply_to {
        Some(ima) => Some(hub.locate(ima.as_str()).ok()?),
        None => None,
    };
    Some(Request::Message(Message {
        content_type: message.content_type.into(),
        body: Cow::Borrowed(message.body.as_bytes()),
        reply_to,
        note: None,
        hears_more: false,
        extras: if object.has_only(&KNOWN) {
            Vec::new()
        } else {
            let is_known = |key| Key::of(key).is_some_and(|key| KNOWN.contains(&key));
            let others = object.entries().filter(|entry| !is_known(entry.key));
            others.map(|entry| (entry.key.into(), entry.value.into())).collect()
        },
    }))
}

/// The hub's form of a notification.
pub fn note(note: SimpNote<'_>, end: bool, hub: &Hub) -> Option<Request<'static>> {
    let notice = Notice { report: report(note.presence, hub)?, name: None };
    Some(if end { Request::End(notice) } else { Request::Change(notice) })
}

/// The hub's form of a duration: negative asks for the longest (SIMP-5.3-4).
pub fn lease(duration: i64) -> Lease {
    if duration < 0 { Lease::Longest } else { Lease::Millis(duration) }
}

/// The family's native form of a command (OC-64) between these two, whatever spelling of their names it has.
pub fn native<'a>(
    octets: &'a mut Vec<u8>,
    object: &Object<'_>,
    to: &Address,
    from: &Address,
) -> op::Native<'a> {
    octets.clear();
    write::relayed_entries(octets, object, &Parties { to: Ima::of(to), from: Ima::of(from) });
    op::Native { family: FAMILY, octets: Cow::Borrowed(octets) }
}

/// The buddies of a profile that was taken once: none if it is damaged.
pub fn contacts(profile: &Entries, domains: &Domains) -> Vec<Address> {
    buddies(profile, domains, &mut Scratch::new()).unwrap_or_default()
}

/// Why a buddy list can't be used (OC-49).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadBuddies;

/// The buddies of a profile, each once: the value of `buddies` is a properties object of its own, group
/// name to white-space-separated addresses (SIMP-3.7-5 to SIMP-3.7-7).
///
/// # Errors
/// [`BadBuddies`] if it is no such document, an address is none, or there are too many.
pub fn buddies(
    profile: &Entries,
    domains: &Domains,
    scratch: &mut Scratch,
) -> Result<Vec<Address>, BadBuddies> {
    let Some((_, text)) = profile.iter().find(|(key, _)| key == "buddies") else { return Ok(Vec::new()) };
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let document = Object::parse_document(text, scratch).map_err(|_| BadBuddies)?;
    let mut list = Vec::new();
    for entry in document.entries() {
        for word in entry.value.split([' ', '\t', '\n', '\r']).filter(|word| !word.is_empty()) {
            list.push(Address::parse(word, domains).map_err(|_| BadBuddies)?);
        }
    }
    list.sort_unstable();
    list.dedup();
    if list.len() > limits::BUDDIES { Err(BadBuddies) } else { Ok(list) }
}

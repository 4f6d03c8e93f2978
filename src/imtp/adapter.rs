//! Between the commands of IMTP and PITP and the hub's operations, both ways.
//!
//! Every refusal has its error type in one match, and every error type its refusal in another. What a message of
//! this family says beyond the hub's words (headers we don't know, the spelling of identifiers, error types we
//! have never heard of) goes along in the family's own form and is passed on octet for octet.

use std::borrow::Cow;
use std::sync::Arc;

use super::Protocol;
use super::beyond;
use super::command::{Command, Failure, Fault, Fetch, Payload, Response, Send, Watch};
use super::error_type::{ErrorType, Reason};
use super::message::{Astrength, Message};
use super::method::Method;
use super::url::{Subscription, Url};
use super::write::{self, Relayed};
use crate::hub::address::Address;
use crate::hub::op::{
    self, Answer, By, Envelope, Family, Native, Notice, Presence, Refusal, Reply, Report, Request, Strength,
    Thanks, TxId,
};
use crate::hub::{Hub, Kind};
use crate::pidf;
use crate::store::record::Document;

/// This family's name among the families. Its form of a `send` is the headers that go from hop to hop as they
/// are; of an answer, the same, an error's own headers first.
pub const FAMILY: Family = Family(2);

/// The command that asks for this kind of thing.
pub fn method_of(kind: Kind) -> Option<Method> {
    match kind {
        Kind::Message => Some(Method::Send),
        Kind::Fetch => Some(Method::Fetch),
        Kind::Subscribe => Some(Method::Subscribe),
        Kind::Unsubscribe => Some(Method::Unsubscribe),
        Kind::Change => Some(Method::ChangeNotify),
        Kind::End => Some(Method::TerminateNotify),
        Kind::Inquire | Kind::Own => None,
    }
}

/// The error type of a refusal, as an answer to this method. A stranger is not told more of somebody than that
/// he can't have it (TOC-64, TOC-78).
pub fn error_type(refusal: Refusal, method: Method, stranger: bool) -> ErrorType {
    let hidden = if method == Method::Send { ErrorType::NoListeners } else { ErrorType::TargetAuthorization };
    let wanted = match refusal {
        Refusal::Malformed => ErrorType::Malformed,
        Refusal::Unsupported => ErrorType::UnknownMethod,
        Refusal::SourceRefused => ErrorType::SourceAuthorization,
        // He may yet come back.
        Refusal::NoListeners if method == Method::ChangeNotify => ErrorType::Communications,
        Refusal::TargetRefuses | Refusal::NotFound if stranger => hidden,
        Refusal::TargetRefuses => ErrorType::TargetAuthorization,
        Refusal::NotFound | Refusal::NotOurs => ErrorType::TargetNotFound,
        Refusal::NoListeners => ErrorType::NoListeners,
        Refusal::QuotaExceeded | Refusal::TooLarge => method.too_much(),
        Refusal::NotSubscribed => ErrorType::NotSubscribed,
        Refusal::Loop => ErrorType::Loop,
        Refusal::OutOfRange => ErrorType::MappingRange,
        Refusal::Raced => ErrorType::UpdateRace,
        Refusal::Resources => ErrorType::Resources,
        // Of a method without a target it is not asked who is to be found (TOC-5).
        Refusal::NoSuchDomain if method.target().is_some() => ErrorType::TargetNotFound,
        Refusal::Communications | Refusal::NoSuchDomain | Refusal::NoAnswer => ErrorType::Communications,
    };
    if method.may_fail_with(wanted) {
        wanted
    } else if method.may_fail_with(ErrorType::NotSubscribed) {
        // Of a subscription there is nothing else to say (TOC-29, TOC-88).
        ErrorType::NotSubscribed
    } else {
        ErrorType::Resources
    }
}

/// What an error type means.
fn refusal(reason: Reason<'_>) -> Refusal {
    let Reason::Known(known) = reason else { return Refusal::TargetRefuses };
    match known {
        ErrorType::Malformed => Refusal::Malformed,
        ErrorType::UnknownMethod => Refusal::Unsupported,
        ErrorType::Resources => Refusal::Resources,
        ErrorType::Communications => Refusal::Communications,
        ErrorType::SourceAuthorization | ErrorType::SaslChallenge | ErrorType::SaslFailure => {
            Refusal::SourceRefused
        }
        ErrorType::Quota => Refusal::QuotaExceeded,
        ErrorType::TargetAuthorization => Refusal::TargetRefuses,
        ErrorType::TargetNotFound => Refusal::NotFound,
        ErrorType::MappingRange => Refusal::OutOfRange,
        ErrorType::UpdateRace => Refusal::Raced,
        ErrorType::NotSubscribed => Refusal::NotSubscribed,
        ErrorType::NoListeners => Refusal::NoListeners,
        ErrorType::Loop => Refusal::Loop,
    }
}

fn strength(astrength: Astrength) -> Strength {
    match astrength {
        Astrength::None => Strength::None,
        Astrength::Weak => Strength::Weak,
        Astrength::Medium => Strength::Medium,
        Astrength::Strong => Strength::Strong,
    }
}

fn astrength(strength: Strength) -> Astrength {
    match strength {
        Strength::None => Astrength::None,
        Strength::Weak => Astrength::Weak,
        Strength::Medium => Astrength::Medium,
        Strength::Strong => Astrength::Strong,
    }
}

/// The weaker of the connection and of what came on it (COMMON-11.4-8).
pub fn weaker(connection: Strength, said: Astrength) -> Strength {
    connection.min(strength(said))
}

/// Can it be said here? What one server asks of another about itself, only SIMP knows.
///
/// # Errors
/// [`Refusal::Unsupported`].
pub fn can_say(protocol: Protocol, envelope: &Envelope<'_>) -> Result<(), Refusal> {
    let method = method_of(Kind::from(&envelope.request));
    let fits = method.is_some_and(|method| method.is_of(protocol));
    // An identifier is ASCII on the wire.
    let named = envelope.to.as_str().is_ascii() && envelope.from.as_str().is_ascii();
    let about = match &envelope.request {
        Request::Change(notice) | Request::End(notice) => notice.report.presentity.as_str().is_ascii(),
        _ => true,
    };
    if fits && named && about { Ok(()) } else { Err(Refusal::Unsupported) }
}

/// Writes a request of the hub's. `here`: the domain that stands for us. A client is not told what its
/// connection is called (PITP-11.7-6).
pub fn request(
    out: &mut Vec<u8>,
    tx: TxId,
    envelope: &Envelope<'_>,
    here: &str,
    to_client: bool,
    portrait: &mut Portrait,
) {
    let strength = astrength(envelope.trail.strength);
    let extras = envelope.native.as_ref().filter(|native| native.family == FAMILY);
    let extras = extras.map_or(&[][..], |native| &native.octets);
    let relayed = Relayed { astrength: Some(strength), extras, visited: None };
    match &envelope.request {
        Request::Message(message) => send(out, tx, envelope, message, here),
        Request::Fetch => {
            let fetch = Fetch { watcher: Url::from(&envelope.from), presentity: Url::from(&envelope.to) };
            write::command(out, tx.0, &Command::Fetch(fetch), &relayed);
        }
        Request::Subscribe { name, .. } => {
            let watch = watch(&envelope.from, name.as_deref(), &envelope.to);
            write::command(out, tx.0, &Command::Subscribe(watch), &relayed);
        }
        Request::Unsubscribe { token } => {
            let watch = watch(&envelope.from, Some(token), &envelope.to);
            write::command(out, tx.0, &Command::Unsubscribe(watch), &relayed);
        }
        Request::Change(notice) => {
            let watch = watch(&envelope.to, id_of(notice, to_client), &notice.report.presentity);
            let relayed = onward(envelope, relayed);
            write::notify(out, tx.0, &watch, &relayed, portrait.of(&notice.report));
        }
        Request::End(notice) => {
            let watch = watch(&envelope.to, id_of(notice, to_client), &notice.report.presentity);
            write::command(out, tx.0, &Command::TerminateNotify(watch), &onward(envelope, relayed));
        }
        Request::Inquire => {}
    }
}

fn id_of<'n>(notice: &'n Notice<'_>, to_client: bool) -> Option<&'n str> {
    notice.name.as_deref().filter(|_| !to_client)
}

fn watch<'a>(watcher: &'a Address, id: Option<&'a str>, presentity: &'a Address) -> Watch<'a> {
    let id = id.filter(|id| !id.is_empty());
    Watch {
        subscription: Subscription { id, watcher: Url::from(watcher) },
        presentity: Url::from(presentity),
    }
}

/// What we tell by ourselves has no strength yet; what we pass on has.
fn onward<'e>(envelope: &Envelope<'_>, relayed: Relayed<'e>) -> Relayed<'e> {
    if envelope.native.is_some() { relayed } else { Relayed::default() }
}

fn send(out: &mut Vec<u8>, tx: TxId, envelope: &Envelope<'_>, message: &op::Message<'_>, here: &str) {
    let strength = astrength(envelope.trail.strength);
    let before = &envelope.trail.visited;
    let note = message.note.as_ref().map(note);
    let onward =
        write::Onward { astrength: strength, before, here, more: note.as_deref().unwrap_or_default() };
    if let Some(native) = envelope.native.as_ref().filter(|native| native.family == FAMILY) {
        let head = |out: &mut Vec<u8>| out.extend_from_slice(&native.octets);
        return write::send(out, tx.0, head, &onward, &message.body);
    }
    let send = Send {
        sender: Url::from(&envelope.from),
        inbox: Url::from(&envelope.to),
        visited: None,
        message: Payload { content_type: Some(message.content_type.as_ref().into()), octets: &[] },
    };
    let head = |out: &mut Vec<u8>| {
        write::send_head(out, &send);
        beyond::write(out, message);
    };
    write::send(out, tx.0, head, &onward, &message.body);
}

/// What goes along with a message that has waited: headers of our own, which others pass over.
fn note(note: &op::Note) -> String {
    let mut lines = format!("Hearth-Item: {}\r\nHearth-Sent: {}\r\n", Hub::item_name(note.item), note.date.0);
    if let Some(regarding) = note.regarding.as_ref().filter(|who| who.as_str().is_ascii()) {
        lines.push_str(&format!("Hearth-Regarding: im:{regarding}\r\n"));
    }
    lines
}

/// The presence of somebody as a document, if he has published none.
fn text(report: &Report) -> Cow<'static, str> {
    let Presence { online, since, description, document } = &report.presence;
    match document {
        Some(_) => "".into(),
        None => pidf::of_presence(&report.presentity, *online, *since, description).into(),
    }
}

/// The presence that was told last, and the payload that tells it with what is before it: what all watchers of
/// somebody are told is written once.
#[derive(Debug, Default)]
pub struct Portrait {
    of: Option<Report>,
    written: write::Written,
}

impl Portrait {
    fn of(&mut self, report: &Report) -> &write::Written {
        if self.of.as_ref() != Some(report) {
            let text = text(report);
            let document = payload(report.presence.document.as_deref(), &text);
            self.written.again(&Url::from(&report.presentity), &document);
            self.of = Some(report.clone());
        }
        &self.written
    }
}

fn payload<'a>(document: Option<&'a Document>, text: &'a str) -> Payload<'a> {
    match document {
        Some(document) => Payload {
            content_type: document.content_type.as_deref().map(Cow::Borrowed),
            octets: &document.octets,
        },
        None => Payload { content_type: None, octets: text.as_bytes() },
    }
}

/// Somebody's presence, as a document says it.
pub fn presence(document: Payload<'_>) -> Presence {
    let gist = pidf::gist(document.content_type.as_deref(), document.octets).unwrap_or_default();
    let online = gist.open.unwrap_or(false);
    Presence {
        online,
        since: gist.since.filter(|_| online),
        description: Arc::from(gist.description.unwrap_or_default()),
        document: Some(Arc::new(kept(document))),
    }
}

/// The document as it is kept: unchanged (TOC-93).
pub fn kept(document: Payload<'_>) -> Document {
    Document { content_type: document.content_type.map(Cow::into_owned), octets: document.octets.to_vec() }
}

/// What a response says to a request of this kind; one that is not as it has to be counts as a failure on the
/// way (TOC-48).
pub fn answer_of<'a>(response: Result<Response<'a>, Fault>, kind: Kind, of: &Address) -> Answer<'a> {
    match (response, kind) {
        (Err(_), _) => Answer::refused(Refusal::Communications),
        (Ok(Response::Error(failure)), _) => Answer::Refused {
            refusal: refusal(failure.reason),
            words: failure.description.map(super::command::unfolded),
        },
        (Ok(Response::Ok(okay)), Kind::Fetch | Kind::Subscribe) => {
            let Some(document) = okay.payload else { return Answer::refused(Refusal::Communications) };
            let report = Report { presentity: of.clone(), presence: presence(document) };
            match kind {
                Kind::Fetch => Answer::Described(report),
                _ => Answer::Granted { report, millis: None, token: "".into() },
            }
        }
        (Ok(Response::Ok(okay)), _) => Answer::Ok(Thanks {
            words: "".into(),
            payload: okay.payload.filter(|_| kind == Kind::Message).map(|payload| op::Payload {
                content_type: payload.content_type,
                octets: Cow::Borrowed(payload.octets),
            }),
            unreliable: okay.unreliable.map(Cow::Borrowed),
        }),
    }
}

/// The family's own form of a response.
pub fn native_answer<'o>(
    octets: &'o mut Vec<u8>,
    message: &Message<'_>,
    response: &Result<Response<'_>, Fault>,
) -> Option<Native<'o>> {
    octets.clear();
    match response {
        Ok(Response::Error(failure)) => write::failure_head(octets, failure),
        Ok(Response::Ok(_)) => {}
        Err(_) => return None,
    }
    message.copy_extras(octets);
    Some(Native { family: FAMILY, octets: Cow::Borrowed(octets) })
}

/// Who hears an answer.
pub struct Asker<'a> {
    /// The name of the command.
    pub id: &'a str,
    /// What it was.
    pub method: Method,
    /// By which of the two.
    pub protocol: Protocol,
    /// Is he of another domain than the one who was asked?
    pub stranger: bool,
}

/// Writes the response to a command: what the hub says, or somebody else through it (`of`: who was asked).
pub fn answer(out: &mut Vec<u8>, asker: &Asker<'_>, of: &Address, reply: &Reply<'_>) {
    let native = reply.native.as_ref().filter(|native| native.family == FAMILY);
    let extras = native.map_or(&[][..], |native| &native.octets);
    let is_error = write::is_failure_head(extras);
    let relayed = Relayed {
        astrength: (reply.by != By::Here).then(|| astrength(reply.strength)),
        extras: if is_error { &[] } else { extras },
        visited: None,
    };
    let Asker { id, method, .. } = *asker;
    match &reply.answer {
        Answer::Ok(thanks) => {
            let unreliable = thanks.unreliable.as_deref();
            write::ok(out, id, method, unreliable, said(thanks, method).as_ref(), &relayed);
        }
        Answer::Described(report) | Answer::Granted { report, .. } => {
            let text = text(report);
            let document = payload(report.presence.document.as_deref(), &text);
            write::ok(out, id, method, None, Some(&document), &relayed);
        }
        Answer::Refused { refusal, words } => {
            let origin = originator(asker.protocol, of, reply.by);
            if is_error {
                let strength = relayed.astrength.unwrap_or(Astrength::Strong);
                return write::relay_error(out, id, method, extras, origin.as_deref(), strength);
            }
            // A stranger hears the same of everybody whom he can't have (TOC-64, TOC-78).
            let hidden = asker.stranger && refusal.is_about_the_recipient();
            let ours = if hidden { Refusal::TargetRefuses.in_words() } else { refusal.in_words() };
            let words = words.as_deref().or(Some(ours));
            let failure = Failure {
                reason: Reason::Known(error_type(*refusal, method, asker.stranger)),
                description: words,
                originator: origin.as_deref(),
                challenge: None,
            };
            write::error(out, id, method.as_str(), &failure, &relayed);
        }
    }
}

/// What a recipient says in return; words of another protocol are text.
fn said<'t>(thanks: &'t Thanks<'_>, method: Method) -> Option<Payload<'t>> {
    if method != Method::Send {
        return None;
    }
    match &thanks.payload {
        Some(payload) => Some(Payload {
            content_type: payload.content_type.as_deref().map(Cow::Borrowed),
            octets: &payload.octets,
        }),
        None if thanks.words.is_empty() => None,
        None => Some(Payload { content_type: None, octets: thanks.words.as_bytes() }),
    }
}

/// Who has produced an error that is passed on (6.3); nobody, if we have.
fn originator(protocol: Protocol, of: &Address, by: By) -> Option<String> {
    match by {
        By::Here => None,
        By::Endpoint => Some(format!("{}:{of}", protocol.scheme())),
        By::Server => Some(of.domain().to_owned()),
    }
}

/// The command that tells this, if this family tells it at all.
pub fn news_method(news: op::News<'_>) -> Option<Method> {
    match news {
        op::News::Subscribed(..) => Some(Method::SubscribeNotify),
        op::News::Unsubscribed(..) => Some(Method::UnsubscribeNotify),
        op::News::Fetched(_) => Some(Method::FetchNotify),
        // Each subscription is told of by itself.
        op::News::WatcherCame(_) | op::News::WatcherWent(_) => None,
    }
}

/// Tells a user's client who watches him.
pub fn news(out: &mut Vec<u8>, notice: u64, user: &Address, news: op::News<'_>) {
    let command = match news {
        op::News::Subscribed(watcher, name) => Command::SubscribeNotify(watch(watcher, Some(name), user)),
        op::News::Unsubscribed(watcher, name) => Command::UnsubscribeNotify(watch(watcher, Some(name), user)),
        op::News::Fetched(watcher) => {
            Command::FetchNotify(Fetch { watcher: Url::from(watcher), presentity: Url::from(user) })
        }
        op::News::WatcherCame(_) | op::News::WatcherWent(_) => return,
    };
    write::command(out, notice, &command, &Relayed::default());
}

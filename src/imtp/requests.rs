//! What is asked on a connection: each well-formed command is checked in one order (3.8) - by somebody who may
//! speak for its source, within his quota, not going round in a circle, to somebody here - and handed to the
//! hub; the recipient's lists come last, there.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::sync::Arc;

use compact_str::CompactString;

use super::adapter::{self, kept};
use super::beyond;
use super::command::{At, Command, Mapping, Payload, Send, Watch};
use super::conn::refuse;
use super::error_type::ErrorType;
use super::message::Message;
use super::method::{Method, Side};
use super::url::{Subscription, Url};
use super::write::{self, Relayed};
use crate::clock::Now;
use crate::federation::peer;
use crate::hub::address::{Address, Domain};
use crate::hub::op::{
    self, EndpointId, Envelope, Lease, NOTIFIER, Native, Notice, Origin, Refusal, Report, Request, Trail,
};
use crate::hub::{Edit, Hub};
use crate::limits;
use crate::node::io::ConnId;
use crate::node::{Core, Role, handle_of};
use crate::pidf;
use crate::store::record::Shown;

/// Domains that a message may have passed through (TOC-66).
const VISITED: usize = 32;
/// The longest type of a message that does not count for the room it takes, octets.
const SHORT: usize = 100;
/// Commands over the rate that are answered before the connection is closed.
const EXCESS: u8 = 100;

/// Who speaks on a connection.
enum Speaker {
    /// A user, on a connection of his own.
    User(EndpointId, Address),
    /// The server of this domain.
    Server(Arc<str>),
    /// Nobody yet.
    Stranger,
}

/// A command on its way through the checks.
struct Asking<'c, 'm> {
    id: ConnId,
    name: &'c str,
    message: &'c Message<'m>,
}

/// A well-formed command.
pub(super) fn take(
    core: &mut Core,
    now: Now,
    id: ConnId,
    name: &str,
    command: Command<'_>,
    message: &Message<'_>,
) {
    let asking = Asking { id, name, message };
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    let speaker = match (&conn.role, conn.wire.session_ref().and_then(|session| session.user.clone())) {
        (Role::Client(endpoint), Some(user)) => Speaker::User(*endpoint, user),
        (Role::Server(domain), _) => Speaker::Server(Arc::clone(domain)),
        (Role::Link(name), _) => Speaker::Server(peer::domain(name).into()),
        _ => Speaker::Stranger,
    };
    let method = command.method();
    let source = command.source().and_then(|url| locate(&core.hub, url));
    let speaks = match (&speaker, &source) {
        (Speaker::User(_, user), Some(source)) => source == user,
        (Speaker::Server(domain), Some(source)) => source.domain() == &**domain,
        _ => false,
    };
    if method.source().is_some() && !speaks {
        let why = "the source is not who this connection belongs to";
        return asking.refuse(core, ErrorType::SourceAuthorization, why);
    }
    if matches!(speaker, Speaker::Server(_)) && !method.is_sent_by(Side::Peer) {
        return asking.refuse(core, ErrorType::UnknownMethod, "only a client of ours may ask this");
    }
    if !asking.within_quota(core, now, &speaker, method) {
        return;
    }
    match (speaker, source) {
        (Speaker::User(endpoint, user), _) => of_user(core, now, &asking, endpoint, user, command),
        (Speaker::Server(domain), source) => of_server(core, now, &asking, &domain, source, command),
        // What has no source tells of subscriptions, and a stranger has none.
        (Speaker::Stranger, _) => asking.refuse(core, ErrorType::NotSubscribed, "authenticate first"),
    }
}

/// The address that a URL names, if it is one of this service's.
fn locate(hub: &Hub, url: Url<'_>) -> Option<Address> {
    let identifier = url.identifier()?;
    match identifier.plain() {
        Some(text) => hub.locate(text).ok(),
        None => identifier.address(hub.domains()).ok(),
    }
}

impl Asking<'_, '_> {
    fn refuse(&self, core: &mut Core, error: ErrorType, why: &str) {
        refuse(core, self.id, self.name, self.message.start().method, error, why);
    }

    fn refuse_as(&self, core: &mut Core, refusal: Refusal) {
        let method = Method::of(self.message.start().method).unwrap_or(Method::Auth);
        self.refuse(core, adapter::error_type(refusal, method, false), refusal.in_words());
    }

    fn ok(&self, core: &mut Core, method: Method) {
        core.io.write(self.id, |out| write::ok(out, self.name, method, None, None, &Relayed::default()));
    }

    /// The answer comes later: the command is noted, and who waits for it is named.
    fn waits(&self, core: &mut Core, method: Method) -> Origin {
        let (handle, tag) = self.waiter(core, method);
        Origin::Peer { handle, tag }
    }

    fn waiter(&self, core: &mut Core, method: Method) -> (op::Handle, CompactString) {
        let tag = CompactString::new(self.name);
        if let Some(conn) = core.io.conns.get_mut(self.id) {
            conn.waiting += 1;
            if let Some(session) = conn.session() {
                session.asked.insert(tag.clone(), method);
            }
        }
        (handle_of(self.id), tag)
    }

    /// Not too many that wait, not too many a second (TOC-34). Reading goes on all the while (COMMON-7-5).
    fn within_quota(&self, core: &mut Core, now: Now, speaker: &Speaker, method: Method) -> bool {
        let limits = &core.io.config.limits;
        let (rate, most) = match speaker {
            Speaker::Server(_) => (limits.requests_per_second_peer, limits::REQUESTS_IN_FLIGHT_LINK),
            Speaker::User(..) | Speaker::Stranger => {
                (limits.requests_per_second_user, limits::REQUESTS_IN_FLIGHT)
            }
        };
        let Some(conn) = core.io.conns.get_mut(self.id) else { return false };
        if usize::from(conn.waiting) >= most {
            self.refuse(core, method.too_much(), "too many commands wait for their answers");
            return false;
        }
        if conn.bucket.take(now, rate) {
            return true;
        }
        conn.excess = conn.excess.saturating_add(1);
        let enough = conn.excess >= EXCESS;
        self.refuse(core, method.too_much(), "too many commands");
        if enough {
            super::conn::cut(core, now, self.id);
        }
        false
    }

    /// The headers that are passed on as they came.
    fn extras(&self) -> Vec<u8> {
        let mut octets = Vec::new();
        self.message.copy_extras(&mut octets);
        octets
    }

    /// What is known of the way that this command has come.
    fn trail<'a>(&self, core: &Core, visited: &'a str) -> Trail<'a> {
        let connection = core.io.conns.get(self.id).map_or(op::Strength::None, crate::node::Conn::strength);
        let strength = adapter::weaker(connection, self.message.astrength());
        Trail { strength, visited: Cow::Borrowed(visited) }
    }
}

/// A command of a user's client.
fn of_user(
    core: &mut Core,
    now: Now,
    asking: &Asking<'_, '_>,
    endpoint: EndpointId,
    user: Address,
    command: Command<'_>,
) {
    match command {
        Command::Listen(listen) => {
            core.hub.listen(now, endpoint, listen.filter, &mut core.io);
            asking.ok(core, Method::Listen);
            core.hub.welcome(now, endpoint, &mut core.io);
        }
        Command::Send(send) => self::send(core, now, asking, user, send),
        Command::Fetch(fetch) => {
            let Some(to) = target(core, asking, fetch.presentity) else { return };
            request(core, now, asking, Method::Fetch, user, to, Request::Fetch);
        }
        Command::Subscribe(watch) => {
            let Some(to) = target(core, asking, watch.presentity) else { return };
            let waiter = asking.waiter(core, Method::Subscribe);
            let (octets, trail) = (asking.extras(), asking.trail(core, ""));
            core.hub.watch(now, waiter, endpoint, to, (Some(native(&octets)), trail), &mut core.io);
        }
        Command::Unsubscribe(watch) => match locate(&core.hub, watch.presentity) {
            Some(to) => {
                let waiter = asking.waiter(core, Method::Unsubscribe);
                let (octets, trail) = (asking.extras(), asking.trail(core, ""));
                core.hub.unwatch(now, waiter, endpoint, to, (Some(native(&octets)), trail), &mut core.io);
            }
            None => asking.refuse(core, ErrorType::NotSubscribed, "there is no such subscription"),
        },
        Command::StartWi { .. } => {
            let watchers = core.hub.watchers_wanted(now, endpoint);
            core.io.write(asking.id, |out| {
                let watchers = watchers.iter().map(|(watcher, id)| Subscription {
                    id: Some(id.as_str()).filter(|id| !id.is_empty()),
                    watcher: Url::from(watcher),
                });
                write::ok_watchers(out, asking.name, watchers);
            });
        }
        Command::Terminate(Watch { subscription, .. }) => {
            match (locate(&core.hub, subscription.watcher), core.hub.account_of(endpoint)) {
                (Some(watcher), Some((key, _))) => {
                    let origin = asking.waits(core, Method::Terminate);
                    let id = Some(subscription.id.unwrap_or_default());
                    core.hub.drop_watcher(now, origin, key, &watcher, id, &mut core.io);
                }
                _ => asking.refuse(core, ErrorType::NotSubscribed, "there is no such subscription"),
            }
        }
        Command::GetClass(at) => match number(at).and_then(|number| core.hub.class(endpoint, number)) {
            Ok(class) => {
                core.io.write(asking.id, |out| write::ok_class(out, asking.name, class));
            }
            Err(refusal) => asking.refuse_as(core, refusal),
        },
        Command::FetchForUpdate(at) => {
            match number(at).and_then(|number| core.hub.fetch_for_update(endpoint, number)) {
                Ok(document) => {
                    let payload = document.as_deref().map(|document| Payload {
                        content_type: document.content_type.as_deref().map(Cow::Borrowed),
                        octets: &document.octets,
                    });
                    core.io.write(asking.id, |out| {
                        let method = Method::FetchForUpdate;
                        write::ok(out, asking.name, method, None, payload.as_ref(), &Relayed::default());
                    });
                }
                Err(refusal) => asking.refuse_as(core, refusal),
            }
        }
        Command::Change(change) => edit(core, now, asking, endpoint, change.at, change.document, Edit::Show),
        Command::InsertMapping(insert) => {
            let class = insert.class;
            edit(core, now, asking, endpoint, insert.at, insert.document, |shown| Edit::Insert {
                class,
                shown,
            });
        }
        Command::DeleteMapping(at) => edit(core, now, asking, endpoint, at, None, |_| Edit::Delete),
        Command::SetClass(set) => {
            let class = set.class;
            edit(core, now, asking, endpoint, set.at, None, |_| Edit::Classify(class));
        }
        // The others are not sent by clients: the codec has refused them.
        _ => asking.refuse(core, ErrorType::UnknownMethod, "not from a client"),
    }
}

fn native(octets: &[u8]) -> Native<'_> {
    Native { family: adapter::FAMILY, octets: Cow::Borrowed(octets) }
}

fn number(at: At<'_>) -> Result<u32, Refusal> {
    match at.mapping {
        Mapping::Number(number) => Ok(NonZeroU32::get(number)),
        Mapping::TooLarge => Err(Refusal::OutOfRange),
    }
}

/// An edit of the mapping list; a document that is ill-formed is refused before the list is looked at (TOC-93).
fn edit(
    core: &mut Core,
    now: Now,
    asking: &Asking<'_, '_>,
    endpoint: EndpointId,
    at: At<'_>,
    document: Option<Payload<'_>>,
    edit: impl FnOnce(Option<Shown>) -> Edit,
) {
    let shown = match document {
        Some(document) => match pidf::gist(document.content_type.as_deref(), document.octets) {
            Ok(gist) => Some(Shown { document: Arc::new(kept(document)), gist }),
            Err(bad) => return asking.refuse(core, ErrorType::Malformed, &bad.to_string()),
        },
        None => None,
    };
    let method = Method::of(asking.message.start().method).unwrap_or(Method::Change);
    match number(at) {
        Ok(number) => {
            let origin = asking.waits(core, method);
            core.hub.edit(now, origin, endpoint, number, edit(shown), &mut core.io);
        }
        Err(refusal) => asking.refuse_as(core, refusal),
    }
}

/// Whom a command is for; without one it is refused.
fn target(core: &mut Core, asking: &Asking<'_, '_>, url: Url<'_>) -> Option<Address> {
    let address = locate(&core.hub, url);
    if address.is_none() {
        asking.refuse(core, ErrorType::TargetNotFound, "there is nobody of that name");
    }
    address
}

fn request(
    core: &mut Core,
    now: Now,
    asking: &Asking<'_, '_>,
    method: Method,
    from: Address,
    to: Address,
    request: Request<'_>,
) {
    let trail = asking.trail(core, "");
    let origin = asking.waits(core, method);
    let octets = asking.extras();
    let envelope = Envelope { to, from, request, native: Some(native(&octets)), trail };
    core.hub.request(now, origin, envelope, &mut core.io);
}

/// `send`, of a user or of another domain's server.
fn send(core: &mut Core, now: Now, asking: &Asking<'_, '_>, from: Address, send: Send<'_>) {
    let visited = send.visited.unwrap_or_default();
    let ours = core.hub.domains();
    let to = locate(&core.hub, send.inbox);
    let foreign = !ours.contains(from.domain());
    // The domain that would stand for us (TOC-66).
    let here = match &to {
        _ if !foreign => Some(from.domain()),
        Some(to) if ours.contains(to.domain()) => Some(to.domain()),
        _ => ours.default_domain().map(Domain::as_str),
    };
    if here.is_some_and(|here| visited.has(here)) || visited.domains().count() > VISITED {
        return asking.refuse(core, ErrorType::Loop, "it has been here before");
    }
    let Some(to) = to.filter(|to| !foreign || ours.contains(to.domain())) else {
        let why = if foreign { "no relaying" } else { "there is nobody of that name" };
        return asking.refuse(core, ErrorType::TargetNotFound, why);
    };
    let mut octets = std::mem::take(&mut core.native);
    octets.clear();
    // What a sender of ours is called elsewhere is up to us, not to his spelling: others tell him by it.
    let sender = if foreign { send.sender } else { Url::from(&from) };
    asking.message.copy_extras(&mut octets);
    let plain = octets.is_empty();
    // Most heads say nothing but what we would say: those need not be kept for whoever takes the message. A long type
    // is: what is kept counts for the bounds on messages under way and in the store.
    let is_ours = plain
        && (sender, send.inbox) == (Url::from(&from), Url::from(&to))
        && send.message.content_type.as_ref().is_some_and(|kind| kind.len() <= SHORT);
    if !is_ours {
        octets.clear();
        write::send_head(&mut octets, &Send { sender, ..send.clone() });
        asking.message.copy_extras(&mut octets);
    }
    let (reply_to, extras) = if plain { (None, Vec::new()) } else { beyond::read(asking.message, &core.hub) };
    let content_type = match &send.message.content_type {
        Some(content_type) => Cow::Borrowed(content_type.as_ref()),
        // That it is UTF-8 goes without saying everywhere else.
        None => Cow::Borrowed("text/plain"),
    };
    let message = op::Message {
        content_type,
        body: Cow::Borrowed(send.message.octets),
        reply_to,
        note: None,
        hears_more: true,
        extras,
    };
    let trail = asking.trail(core, visited.as_str());
    let origin = asking.waits(core, Method::Send);
    let native = Some(native(&octets)).filter(|_| !is_ours);
    let envelope = Envelope { to, from, request: Request::Message(message), native, trail };
    core.hub.request(now, origin, envelope, &mut core.io);
    core.native = octets;
}

/// A command of another domain's server: its users' requests to ours, and news for our users of its own.
fn of_server(
    core: &mut Core,
    now: Now,
    asking: &Asking<'_, '_>,
    domain: &str,
    source: Option<Address>,
    command: Command<'_>,
) {
    match (command, source) {
        (Command::Send(send), Some(from)) => self::send(core, now, asking, from, send),
        (Command::Fetch(fetch), Some(from)) => {
            let Some(to) = ours(core, fetch.presentity) else { return asking.not_ours(core) };
            request(core, now, asking, Method::Fetch, from, to, Request::Fetch);
        }
        (Command::Subscribe(watch), Some(from)) => {
            let Some(to) = ours(core, watch.presentity) else { return asking.not_ours(core) };
            let name = Some(watch.subscription.id.unwrap_or_default().into());
            let subscribe = Request::Subscribe { lease: Lease::Open, name };
            request(core, now, asking, Method::Subscribe, from, to, subscribe);
        }
        (Command::Unsubscribe(watch), Some(from)) => {
            let Some(to) = ours(core, watch.presentity) else { return asking.not_subscribed(core) };
            let token = watch.subscription.id.unwrap_or_default().into();
            request(core, now, asking, Method::Unsubscribe, from, to, Request::Unsubscribe { token });
        }
        (Command::ChangeNotify(notify), Some(presentity)) => {
            let presence = adapter::presence(notify.document);
            let report = Report { presentity, presence };
            news(core, now, asking, notify.subscription, report, Request::Change);
        }
        (Command::TerminateNotify(watch), _) => {
            // It has no source: whoever speaks for the presentity's domain may say it (TOC-88).
            let presentity = locate(&core.hub, watch.presentity).filter(|who| who.domain() == domain);
            let Some(presentity) = presentity else { return asking.not_subscribed(core) };
            let report = Report { presentity, presence: op::Presence::unknown() };
            news(core, now, asking, watch.subscription, report, Request::End);
        }
        _ => asking.refuse(core, ErrorType::UnknownMethod, "not from a server"),
    }
}

fn ours(core: &Core, url: Url<'_>) -> Option<Address> {
    locate(&core.hub, url).filter(|address| core.hub.domains().contains(address.domain()))
}

impl Asking<'_, '_> {
    /// Nothing is carried from one foreign domain to another (TOC-29).
    fn not_ours(&self, core: &mut Core) {
        self.refuse(core, ErrorType::TargetNotFound, "no relaying");
    }

    fn not_subscribed(&self, core: &mut Core) {
        self.refuse(core, ErrorType::NotSubscribed, "there is no such subscription");
    }
}

/// News of a presentity for a watcher of ours.
fn news(
    core: &mut Core,
    now: Now,
    asking: &Asking<'_, '_>,
    subscription: Subscription<'_>,
    report: Report,
    tell: impl FnOnce(Notice<'static>) -> Request<'static>,
) {
    let Some(to) = ours(core, subscription.watcher) else { return asking.not_subscribed(core) };
    let method = Method::of(asking.message.start().method).unwrap_or(Method::ChangeNotify);
    let from = notifier(&report.presentity);
    let name = Some(Cow::Owned(subscription.id.unwrap_or_default().to_owned()));
    let octets = asking.extras();
    let trail = asking.trail(core, "");
    let origin = asking.waits(core, method);
    let native = Some(native(&octets));
    let envelope = Envelope { to, from, request: tell(Notice { report, name }), native, trail };
    core.hub.request(now, origin, envelope, &mut core.io);
}

/// Who tells news of a presentity: his server.
fn notifier(presentity: &Address) -> Address {
    presentity.neighbour(NOTIFIER)
}

//! Finding the servers of other domains: a thread with the resolver, its runtime and its caches.
//!
//! A question is about one domain: its SRV records of every [`Service`], and the addresses of the
//! domain and of every target. Questions wait for nobody else's answer; each is over within
//! [`limits::RESOLVE`], whatever the servers do; the same question asked twice is one. Of what is looked into at a
//! time each asker has a share: whoever names ever new domains that don't answer keeps nobody else waiting.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as Negative, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, timeout_at};

use crate::federation::{DnsError, Published, Service, Target};
use crate::hub::address::Domain;
use crate::limits;
use crate::node::io::{Asker, JobId, JobResult};
use crate::server::answers::{Answer, Answers};

/// Questions that may wait; more are turned away.
const QUEUE: usize = 1024;
/// Of them, those of one asker.
const QUEUE_EACH: usize = 128;
/// Questions looked into at once.
const AT_ONCE: usize = 64;
/// Of them, those of one asker, who may have named servers that never answer.
const AT_ONCE_EACH: usize = 8;
/// And those of all strangers together.
const AT_ONCE_STRANGERS: usize = 32;
/// Queries of one question under way at once; each costs a descriptor or two.
const QUERIES: usize = 4;
/// SRV records taken from one domain, all services together.
const RECORDS: usize = 32;
/// Addresses taken for one name.
const ADDRESSES: usize = 16;
/// One query to one server, and how often it is repeated.
const QUERY: Duration = Duration::from_secs(2);
const REPEATS: usize = 2;
/// Before the end of a question's time: what is known by then is the answer.
const HASTE: Duration = Duration::from_millis(500);
/// How long answers are believed at least and at most, and failures at least.
const SHORTEST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(24 * 3600);
const NEGATIVE_LONGEST: Duration = Duration::from_secs(15 * 60);

/// The loop's end of the resolver.
#[derive(Debug)]
pub(super) struct Dns {
    questions: mpsc::Sender<Question>,
    answers: Answers,
}

#[derive(Debug)]
struct Question {
    job: JobId,
    domain: Domain,
    asker: Asker,
    asked: Instant,
}

impl Dns {
    /// Starts the thread. It ends when this is dropped.
    ///
    /// # Errors
    /// The system's resolver configuration can't be read, or there is no thread to be had.
    pub(super) fn start(nameservers: &[SocketAddr], answers: Answers) -> io::Result<Dns> {
        let (runtime, resolver) = prepare(nameservers)?;
        let (questions, inbox) = mpsc::channel(QUEUE);
        let replies = answers.clone();
        thread::Builder::new().name("dns".to_owned()).spawn(move || {
            LocalSet::new().block_on(&runtime, serve(Rc::new(resolver), inbox, replies));
        })?;
        Ok(Dns { questions, answers })
    }

    /// Asks about a domain; the answer comes as `Done`.
    pub(super) fn ask(&self, job: JobId, domain: Domain, asker: Asker) {
        if self.questions.try_send(Question { job, domain, asker, asked: Instant::now() }).is_err() {
            self.answers.send(Answer::Done(job, JobResult::Overloaded));
        }
    }
}

/// Asks about these services of a domain and waits for the answer: for commands.
///
/// # Errors
/// The system's resolver configuration can't be read.
pub(super) fn find(
    nameservers: &[SocketAddr],
    domain: &Domain,
    services: &[Service],
) -> io::Result<Result<Published, DnsError>> {
    let (runtime, resolver) = prepare(nameservers)?;
    let look = async {
        let deadline = Instant::now() + limits::RESOLVE - HASTE;
        look_up(&Rc::new(resolver), domain, services, deadline).await
    };
    Ok(LocalSet::new().block_on(&runtime, look))
}

fn prepare(nameservers: &[SocketAddr]) -> io::Result<(Runtime, TokioResolver)> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let resolver = {
        let _inside = runtime.enter();
        resolver(nameservers).map_err(io::Error::other)?
    };
    Ok((runtime, resolver))
}

fn resolver(nameservers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    let mut builder = if nameservers.is_empty() {
        TokioResolver::builder_tokio()?
    } else {
        let servers = nameservers.iter().map(|server| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = server.port();
                connection
            });
            NameServerConfig::new(server.ip(), true, connections.into())
        });
        let config = ResolverConfig::from_name_servers(servers.collect());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    set_options(builder.options_mut());
    builder.build()
}

fn set_options(options: &mut ResolverOpts) {
    options.timeout = QUERY;
    options.attempts = REPEATS;
    options.positive_min_ttl = Some(SHORTEST);
    options.positive_max_ttl = Some(LONGEST);
    options.negative_min_ttl = Some(SHORTEST);
    options.negative_max_ttl = Some(NEGATIVE_LONGEST);
}

/// What is asked, and by whom.
#[derive(Debug, Default)]
struct Desk {
    domains: HashMap<Domain, Asked>,
    shares: HashMap<Asker, Share>,
    /// Jobs that wait.
    jobs: usize,
}

/// One domain: whoever of those who have asked gets his turn first has it looked up for all of them.
#[derive(Debug, Default)]
struct Asked {
    jobs: Vec<JobId>,
    /// Who waits for his turn.
    askers: Vec<Asker>,
    running: bool,
}

/// What one asker has.
#[derive(Debug)]
struct Share {
    turns: Rc<Semaphore>,
    questions: usize,
}

/// The turns of all askers, and of strangers.
#[derive(Debug)]
struct Turns {
    all: Semaphore,
    strangers: Semaphore,
}

impl Desk {
    /// Takes in a question. If somebody has yet to wait for his turn with it, it is with this one of his.
    fn take(&mut self, job: JobId, domain: &Domain, asker: &Asker) -> Result<Option<Rc<Semaphore>>, Full> {
        let new = || Share { turns: Rc::new(Semaphore::new(AT_ONCE_EACH)), questions: 0 };
        let share = self.shares.entry(asker.clone()).or_insert_with(new);
        if self.jobs >= QUEUE || share.questions >= QUEUE_EACH {
            self.leave(asker, 0);
            return Err(Full);
        }
        self.jobs += 1;
        let asked = self.domains.entry(domain.clone()).or_default();
        asked.jobs.push(job);
        if asked.running || asked.askers.contains(asker) {
            self.leave(asker, 0);
            return Ok(None);
        }
        asked.askers.push(asker.clone());
        share.questions += 1;
        Ok(Some(share.turns.clone()))
    }

    /// An asker has so many questions less.
    fn leave(&mut self, asker: &Asker, questions: usize) {
        if let Some(share) = self.shares.get_mut(asker) {
            share.questions -= questions;
            if share.questions == 0 {
                self.shares.remove(asker);
            }
        }
    }

    /// Somebody's turn has come: is the domain still to be looked up?
    fn begin(&mut self, domain: &Domain) -> bool {
        self.domains.get_mut(domain).is_some_and(|asked| !std::mem::replace(&mut asked.running, true))
    }

    /// Somebody's time is over before his turn has come: has everybody's?
    fn gives_up(&mut self, domain: &Domain, asker: &Asker) -> bool {
        self.domains.get_mut(domain).is_some_and(|asked| {
            asked.askers.retain(|other| other != asker);
            !asked.running && asked.askers.is_empty()
        })
    }

    /// What is known of a domain goes to all who have asked.
    fn answer(&mut self, domain: &Domain, result: &Result<Published, DnsError>, answers: &Answers) {
        let jobs = self.domains.remove(domain).map(|asked| asked.jobs).unwrap_or_default();
        self.jobs -= jobs.len();
        for job in jobs {
            answers.send(Answer::Done(job, JobResult::Resolved(result.clone())));
        }
    }
}

/// Too many questions wait.
struct Full;

async fn serve(resolver: Rc<TokioResolver>, mut inbox: mpsc::Receiver<Question>, answers: Answers) {
    let desk: Rc<RefCell<Desk>> = Rc::default();
    let turns = Rc::new(Turns { all: Semaphore::new(AT_ONCE), strangers: Semaphore::new(AT_ONCE_STRANGERS) });
    while let Some(Question { job, domain, asker, asked }) = inbox.recv().await {
        let share = match desk.borrow_mut().take(job, &domain, &asker) {
            Ok(Some(share)) => share,
            Ok(None) => continue,
            Err(Full) => {
                answers.send(Answer::Done(job, JobResult::Overloaded));
                continue;
            }
        };
        let (resolver, answers, desk, turns) =
            (resolver.clone(), answers.clone(), desk.clone(), turns.clone());
        tokio::task::spawn_local(async move {
            let deadline = asked + limits::RESOLVE - HASTE;
            // Each semaphore is fair. Who has all of his share waits for himself only.
            let turn = async {
                let stranger = matches!(asker, Asker::Stranger(_));
                let own = share.acquire().await;
                let strangers = if stranger { Some(turns.strangers.acquire().await) } else { None };
                (own, strangers, turns.all.acquire().await)
            };
            match timeout_at(deadline, turn).await {
                Ok(_turn) => {
                    let begins = desk.borrow_mut().begin(&domain);
                    if begins {
                        let result = look_up(&resolver, &domain, &Service::PEERS, deadline).await;
                        desk.borrow_mut().answer(&domain, &result, &answers);
                    }
                }
                Err(_) => {
                    let over = desk.borrow_mut().gives_up(&domain, &asker);
                    if over {
                        desk.borrow_mut().answer(&domain, &Err(DnsError::Failed), &answers);
                    }
                }
            }
            desk.borrow_mut().leave(&asker, 1);
        });
    }
}

/// What one query was for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Query {
    Srv(Service),
    Addresses(String, RecordType),
}

/// What came of it: records, none, or no answer.
type Found = Result<Vec<RData>, NoAnswer>;

/// Why a query has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NoAnswer {
    /// The server does not want to tell: small ones say so of all that is not in their own list.
    Refused,
    /// It did not answer in time, or failed.
    Failed,
}

/// The queries of one question, a few at a time, until the deadline.
struct Queries {
    resolver: Rc<TokioResolver>,
    domain: Domain,
    deadline: Instant,
    running: JoinSet<(Query, Found)>,
    todo: Vec<Query>,
}

impl Queries {
    /// The next result, if there is one to come in time.
    async fn next(&mut self) -> Option<(Query, Found)> {
        while self.running.len() < QUERIES
            && let Some(query) = self.todo.pop()
        {
            let (resolver, name) = (self.resolver.clone(), self.name(&query));
            self.running.spawn_local(async move {
                let kind = match &query {
                    Query::Srv(_) => RecordType::SRV,
                    Query::Addresses(_, kind) => *kind,
                };
                let found = match name {
                    Some(name) => records(&resolver, name, kind).await,
                    None => Ok(Vec::new()),
                };
                (query, found)
            });
        }
        timeout_at(self.deadline, self.running.join_next()).await.ok()??.ok()
    }

    /// Always a whole name: no search list is tried.
    fn name(&self, query: &Query) -> Option<Name> {
        let text = match query {
            Query::Srv(service) => format!("{}.{}.", service.label(), self.domain),
            Query::Addresses(host, _) => format!("{host}."),
        };
        Name::from_ascii(text).ok()
    }

    fn want_addresses(&mut self, host: &str) {
        self.todo.push(Query::Addresses(host.to_owned(), RecordType::AAAA));
        self.todo.push(Query::Addresses(host.to_owned(), RecordType::A));
    }
}

async fn look_up(
    resolver: &Rc<TokioResolver>,
    domain: &Domain,
    services: &[Service],
    deadline: Instant,
) -> Result<Published, DnsError> {
    if domain.as_str().parse::<IpAddr>().is_ok() {
        // Digits and dots are no name, and nobody can publish anything of them.
        return Err(DnsError::Nothing);
    }
    let mut queries = Queries {
        resolver: resolver.clone(),
        domain: domain.clone(),
        deadline,
        running: JoinSet::new(),
        todo: Vec::new(),
    };
    queries.want_addresses(domain.as_str());
    queries.todo.extend(services.iter().copied().map(Query::Srv));
    let mut gathered = Gathered::of(domain);
    let mut answered = 0;
    let mut failed = false;
    while let Some((query, found)) = queries.next().await {
        match (query, found) {
            (Query::Srv(service), Ok(found)) => {
                answered += 1;
                for host in gathered.service(service, &found) {
                    queries.want_addresses(&host);
                }
            }
            // No such record, if there is anything else to be had of the domain.
            (Query::Srv(_), Err(NoAnswer::Refused)) => {
                answered += 1;
                failed = true;
            }
            // Without all SRV records we don't know whether the domain wants TLS: a failure must not
            // lead us to a worse place.
            (Query::Srv(_), Err(NoAnswer::Failed)) => return Err(DnsError::Failed),
            (Query::Addresses(host, _), Ok(found)) => gathered.addresses(host, &found),
            (Query::Addresses(..), Err(_)) => failed = true,
        }
    }
    let unfinished = !queries.running.is_empty() || !queries.todo.is_empty();
    if answered < services.len() {
        return Err(DnsError::Failed);
    }
    gathered.publish(domain, failed || unfinished)
}

/// What has come of the queries of one question so far.
pub(super) struct Gathered {
    published: Published,
    /// Of the domain and of every target's host.
    addresses: HashMap<String, Vec<IpAddr>>,
}

impl Gathered {
    pub(super) fn of(domain: &Domain) -> Gathered {
        let addresses = HashMap::from([(domain.to_string(), Vec::new())]);
        Gathered { published: Published::default(), addresses }
    }

    /// The SRV records of a service have come; gives the hosts whose addresses are yet to be asked for.
    pub(super) fn service(&mut self, service: Service, found: &[RData]) -> Vec<String> {
        let Gathered { published: Published { targets, declined, .. }, addresses } = self;
        let mut wanted = Vec::new();
        if found.iter().any(is_declined) {
            declined.push(service);
        }
        for target in found.iter().filter_map(|data| target(service, data)) {
            if targets.len() == RECORDS {
                break;
            }
            if !addresses.contains_key(&target.host) {
                addresses.insert(target.host.clone(), Vec::new());
                wanted.push(target.host.clone());
            }
            targets.push(target);
        }
        wanted
    }

    /// Addresses of a host have come.
    pub(super) fn addresses(&mut self, host: String, found: &[RData]) {
        keep(self.addresses.entry(host).or_default(), found);
    }

    /// All that there is; `uncertain`: there may be more.
    pub(super) fn publish(self, domain: &Domain, uncertain: bool) -> Result<Published, DnsError> {
        let Gathered { mut published, mut addresses } = self;
        let order = |service| Service::ALL.iter().position(|s| *s == service);
        let targets = &mut published.targets;
        targets.sort_by_key(|t| order(t.service));
        published.declined.sort_by_key(|service| order(*service));
        for target in targets.iter_mut() {
            target.addresses = addresses.get(&target.host).cloned().unwrap_or_default();
        }
        let own = addresses.remove(domain.as_str()).unwrap_or_default();
        let nowhere = own.is_empty() && targets.iter().all(|t| t.addresses.is_empty());
        if nowhere && uncertain {
            return Err(DnsError::Failed);
        }
        if own.is_empty() && targets.is_empty() {
            return Err(DnsError::Nothing);
        }
        Ok(Published { addresses: own, ..published })
    }
}

/// Adds addresses, IPv4 before IPv6 however they came, up to the bound.
fn keep(kept: &mut Vec<IpAddr>, found: &[RData]) {
    let new = found.iter().filter_map(|data| match data {
        RData::A(a) => Some(IpAddr::V4(a.0)),
        RData::AAAA(a) => Some(IpAddr::V6(a.0)),
        _ => None,
    });
    kept.extend(new.take(ADDRESSES));
    kept.sort_by_key(IpAddr::is_ipv6);
    kept.dedup();
    kept.truncate(ADDRESSES);
}

/// A service that is decidedly not available (RFC 2782).
fn is_declined(data: &RData) -> bool {
    matches!(data, RData::SRV(srv) if srv.target.is_root())
}

fn target(service: Service, data: &RData) -> Option<Target> {
    let RData::SRV(srv) = data else { return None };
    if srv.target.is_root() {
        return None;
    }
    let mut host = srv.target.to_ascii();
    host.make_ascii_lowercase();
    let host = host.trim_end_matches('.').to_owned();
    let (priority, weight, port) = (srv.priority, srv.weight, srv.port);
    Some(Target { service, priority, weight, port, host, addresses: Vec::new() })
}

/// The records of a name; no such name is no records.
async fn records(resolver: &TokioResolver, name: Name, kind: RecordType) -> Found {
    match resolver.lookup(name, kind).await {
        Ok(lookup) => {
            let answers = lookup.answers().iter().filter(|r| r.record_type() == kind);
            Ok(answers.take(RECORDS).map(|r| r.data.clone()).collect())
        }
        Err(NetError::Dns(Negative::NoRecordsFound(none)))
            if matches!(none.response_code, ResponseCode::NoError | ResponseCode::NXDomain) =>
        {
            Ok(Vec::new())
        }
        Err(NetError::Dns(Negative::ResponseCode(ResponseCode::Refused))) => Err(NoAnswer::Refused),
        Err(error) => {
            log::debug!("DNS query failed: {error}");
            Err(NoAnswer::Failed)
        }
    }
}

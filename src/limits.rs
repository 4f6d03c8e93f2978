//! Every cap and timeout, with its reason.
//!
//! Constants are properties of the protocols or of the program; what an operator may want to move is
//! a field of [`Limits`], set under `[limits]` in the configuration.

use std::time::Duration;

use serde::Deserialize;

/// One SIMP command as XML, octets; over it the connection is closed (OC-30). Twice the largest
/// value plus room for its escapes.
pub const COMMAND: usize = 128 * 1024;
/// What is passed on of a command, as it is written: the next server takes no more than [`COMMAND`], and
/// escapes may have made it longer than it came.
pub const RELAYED: usize = COMMAND - 1024;
/// A command before its connection has shown who it is (OC-30): enough for `login` and `connect`.
pub const COMMAND_UNPROVEN: usize = 8 * 1024;
/// Entries of one properties object (OC-30).
pub const ENTRIES: usize = 1024;
/// A key of an entry, octets (OC-30).
pub const KEY: usize = 512;
/// A value of an entry, octets (OC-30).
pub const VALUE: usize = 64 * 1024;
/// The body of a message, octets (design 9).
pub const BODY: usize = 64 * 1024;
/// A sequence identifier, octets (OC-30).
pub const SEQUENCE_ID: usize = 64;
/// A profile, octets of keys and values (OC-30).
pub const PROFILE: usize = 64 * 1024;
/// Entries of an access control list (OC-30).
pub const ACL_ENTRIES: usize = 1024;
/// Buddies of one account (OC-30).
pub const BUDDIES: usize = 1000;
/// The text of a client's `okay` or `error` that is carried back, octets (OC-58).
pub const REPLY_TEXT: usize = 1024;
/// Requests of one peer that wait for their answers; then its stream is not read (OC-30).
pub const REQUESTS_IN_FLIGHT: usize = 64;
/// The same for a link between servers, which carries many users.
pub const REQUESTS_IN_FLIGHT_LINK: usize = 4096;
/// Malformed objects on one connection before it is closed (OC-28).
pub const MALFORMED: u8 = 10;
/// Octets that wait for one slow reader; then it is cut (design 9). Requests of others are refused from half of it
/// on, so that nobody can have him cut by writing to him.
pub const UNSENT: usize = 1024 * 1024;
/// Octets of unfinished commands of all connections together that have not shown who they are; over it the
/// connections of the address that holds most are cut.
pub const UNFINISHED: usize = 32 * 1024 * 1024;
/// Octets of messages of one user that are under way; more of them are refused until some are answered.
pub const HELD_PER_USER: usize = 4 * 1024 * 1024;
/// The same for all users of another domain together.
pub const HELD_PER_PEER: usize = 16 * 1024 * 1024;
/// Reports that wait for a user: while there are so many, beside the messages kept for him, he sends no more, since of
/// each that failed he would have to be told. Some more come of those that are under way.
pub const REPORTS: u32 = 1000;
/// Octets of news told to watchers before what was written has gone out.
pub const TOLD_AT_ONCE: usize = 1024 * 1024;
/// Changes of one account's access list and profile that are being committed: each is kept several times over
/// until it is.
pub const SETTINGS_AT_ONCE: u8 = 16;
/// Live endpoints of one account (TOC-34): a bit for each in a request's state.
pub const ENDPOINTS: usize = 32;
/// Of those, the ones that take everything (OC-47).
pub const ENDPOINTS_WHOLE: usize = 8;
/// Subscriptions of one watcher to one presentity (OC-41).
pub const SUBSCRIPTIONS_PER_PAIR: usize = 8;
/// Watchers of one account, and presentities watched by one account.
pub const SUBSCRIPTIONS_PER_ACCOUNT: usize = 5000;
/// Those of them that watchers of other domains get whom he does not watch: names of domains cost nothing.
pub const SUBSCRIPTIONS_OF_STRANGERS: usize = SUBSCRIPTIONS_PER_ACCOUNT / 4 * 3;
/// What another server gives out for a subscription, octets: it is kept with the subscription.
pub const FOREIGN_TOKEN: usize = 1024;
/// Requests that wait for one peer domain to be found and connected.
pub const QUEUED_PER_LINK: usize = 1000;
/// And octets of them.
pub const QUEUED_OCTETS_PER_LINK: usize = 16 * 1024 * 1024;
/// Timers that are looked after in one tick, each of the hub's and of the connections': when the machine has slept,
/// or a clock was set, a million may be due at the same moment, and others wait meanwhile.
pub const DUE_AT_ONCE: usize = 1000;
/// Offline accounts kept in memory after use.
pub const IDLE_ACCOUNTS: usize = 10_000;

/// The identifier of a command of IMTP or PITP, octets (TOC-32); so are the next ones.
pub const ID: usize = 64;
/// The name of a method.
pub const METHOD: usize = 64;
/// The name of a header.
pub const HEADER_NAME: usize = 64;
/// A start line, or any other first line, without its CRLF.
pub const START_LINE: usize = 1024;
/// One header with its continuations.
pub const HEADER_VALUE: usize = 8 * 1024;
/// All headers, from the start line's end to the empty line.
pub const HEADERS: usize = 32 * 1024;
/// How many of them: all [`PATTERNS`] of a class or filter, and what stands beside them.
pub const HEADER_COUNT: u16 = 320;
/// The same where a client reads what its own server says: the ok to `start-wi` names every watcher.
pub const HEADER_COUNT_CLIENT: u16 = HEADER_COUNT + SUBSCRIPTIONS_PER_ACCOUNT as u16;
/// And their octets, each watcher a URL with the connection-id before it.
pub const HEADERS_CLIENT: usize =
    HEADERS + SUBSCRIPTIONS_PER_ACCOUNT * (HEADER_NAME + CONNECTION_ID + IDENTIFIER);
/// Any payload but an `auth`'s, of a peer that has not shown who it is.
pub const PAYLOAD_UNPROVEN: usize = 4 * 1024;
/// The payload of an `auth`.
pub const AUTH_PAYLOAD: usize = 16 * 1024;
/// A presence document.
pub const DOCUMENT: usize = 64 * 1024;
/// Definitions of a presence document: no person needs more, and what each costs is bounded with it.
pub const DEFINITIONS: usize = 1024;
/// Subtrees in each other of a presence document: the draft itself has one.
pub const DOCUMENT_DEPTH: usize = 16;
/// A payload of which so much is announced is not even read past (TOC-33).
pub const ABSURD_PAYLOAD: u64 = 16 * 1024 * 1024;
/// A URL or pattern, octets.
pub const IDENTIFIER: usize = 1024;
/// A domain name in one, octets.
pub const DOMAIN: usize = 253;
/// The connection-id of a subscription, octets.
pub const CONNECTION_ID: usize = 64;
/// Empty lines in a row between two messages (TOC-43).
pub const EMPTY_LINES: u8 = 8;
/// Patterns of one watcher class or filter (TOC-34).
pub const PATTERNS: usize = 256;
/// Mappings of one presentity (TOC-34).
pub const MAPPINGS: usize = 256;
/// Octets of all presence documents of one presentity: they are in memory while he is.
pub const PRESENCE_OCTETS: usize = 1024 * 1024;
/// Subscriptions of one watcher to one presentity that his server tells apart by itself: one for each of his
/// connections.
pub const SUBSCRIPTIONS_NAMED: usize = 32;
/// The description of an error, octets (TOC-44).
pub const DESCRIPTION: usize = 200;

/// An endpoint's time to answer a message (design 5).
pub const ANSWER: Duration = Duration::from_secs(25);
/// After the first `ok` to a message, the time of another endpoint to say more than that (IMTP-16.2-16): an
/// endpoint that keeps silent shall not keep the sender waiting (design 5).
pub const GRACE: Duration = Duration::from_secs(2);
/// A remote home server's time: its own endpoint's, and the way there and back.
pub const ANSWER_REMOTE: Duration = Duration::from_secs(30);
/// Unanswered requests in a row after which an endpoint is taken for dead (OC-59).
pub const UNANSWERED: u8 = 3;
/// From accept to a stream header (OC-69), and for a TLS handshake.
pub const HEADER: Duration = Duration::from_secs(10);
/// From accept to `connect` on a notification connection (OC-17).
pub const CONNECT: Duration = Duration::from_secs(30);
/// A routing connection without outstanding requests (OC-69).
pub const ROUTING_IDLE: Duration = Duration::from_secs(300);
/// A link of ours to a peer without use (OC-72).
pub const LINK_IDLE: Duration = Duration::from_secs(60);
/// The same where a link has to be greeted and proved before it is of use (TOC-11).
pub const LINK_IDLE_GREETED: Duration = Duration::from_secs(600);
/// Silence after which white space is written to an endpoint (OC-53).
pub const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// A write that makes no progress (OC-53).
pub const STALLED: Duration = Duration::from_secs(30);
/// From the peer's `</stream>` to our close while answers are outstanding (OC-29).
pub const LINGER: Duration = Duration::from_secs(10);
/// Life of a login challenge (OC-16).
pub const CHALLENGE: Duration = Duration::from_secs(60);
/// From `divert` to our close (OC-54).
pub const DIVERT: Duration = Duration::from_secs(30);
/// The longest lease of a subscription (OC-40).
pub const LEASE: Duration = Duration::from_secs(24 * 3600);
/// Pauses before an unanswered notification is tried again: with the time given to answer, three tries within
/// five minutes (OC-43).
pub const NOTIFY_RETRY: [Duration; 2] = [Duration::from_secs(45), Duration::from_secs(150)];
/// The same for a subscription without a lease (TOC-81): the last of them again and again, until a day is over.
pub const NOTIFY_RETRY_NAMED: [Duration; 4] =
    [Duration::from_secs(60), Duration::from_secs(300), Duration::from_secs(1800), Duration::from_secs(3600)];
/// So many tries take a day.
pub const NOTIFY_TRIES_NAMED: usize = 26;
/// That a peer was found to speak for a domain holds this long; then it is found out anew.
pub const TRUST: Duration = Duration::from_secs(600);
/// A connection that was found not to speak for a domain is not looked into again for so long: DNS may
/// have failed for a moment, or be changed.
pub const DISTRUST: Duration = Duration::from_secs(30);
/// To find a peer by DNS.
pub const RESOLVE: Duration = Duration::from_secs(10);
/// To connect to one address of a peer, with the handshake of TLS (TOC-10).
pub const DIAL: Duration = Duration::from_secs(10);
/// From the connection to a peer until it has greeted us and taken us for who we are (TOC-10).
pub const GREETING: Duration = Duration::from_secs(10);
/// To reach a peer over all its places and protocols: what waits for it has [`ANSWER_REMOTE`] altogether.
pub const REACH: Duration = Duration::from_secs(20);
/// To end in order: diverts, ends of streams, last batch.
pub const SHUTDOWN: Duration = Duration::from_secs(5);

/// What an operator may set under `[limits]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections of one address that have not shown who they are.
    pub unproven_per_address: usize,
    /// Connections of one address altogether.
    pub connections_per_address: usize,
    /// Logins a second from one address; a burst may be ten times that.
    pub logins_per_second: u32,
    /// Requests a second of one user; a burst may be ten times that.
    pub requests_per_second_user: u32,
    /// Requests a second of one peer domain; a burst may be ten times that.
    pub requests_per_second_peer: u32,
    /// Messages kept for one user who is away and has opted in.
    pub kept_messages: u32,
    /// Octets of messages kept for one such user.
    pub kept_octets: u32,
    /// Days that a message or a report is kept.
    pub kept_days: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            // A house behind one address translator, not a botnet.
            unproven_per_address: 1000,
            connections_per_address: 20_000,
            // Guessing is slowed by counting failures; this only bounds the work.
            logins_per_second: 20_000,
            // High enough that only a program gone wild meets it: what keeps users fair to each
            // other is the cap on requests in flight.
            requests_per_second_user: 20_000,
            requests_per_second_peer: 50_000,
            kept_messages: 200,
            kept_octets: 1024 * 1024,
            kept_days: 30,
        }
    }
}

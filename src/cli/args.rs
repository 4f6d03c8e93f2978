//! What can be said on the command line, and the help that teaches it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::harmless::harmless;
use crate::hub::address::{Address, Domain, Domains};
use crate::store::record::WatcherPolicy;

const EXAMPLES: &str = "\
Begin with:
  hearth demo --once                   two domains talk to each other on this machine
  hearth init --domain example.org     a server of your own
  hearth user add alice                its first user
  hearth user key add alice phone      a key that alice's phone logs in with
  hearth serve                         run it
  hearth check                         is all well, seen from here and from DNS?

Errors are one line on stderr. Exit status: 0 done, 1 failed, 2 not understood.";

/// The home server of an instant-messaging domain
#[derive(Debug, Parser)]
#[command(name = "hearth", version, after_help = EXAMPLES, infer_subcommands = false, disable_help_subcommand = true)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Arguments {
    /// The configuration [default: $HEARTH_CONFIG, else ./hearth.toml, else /etc/hearth/hearth.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Two federated domains on loopback send messages to each other; the transcript is printed
    #[command(after_help = "\
Example:
  hearth demo --once

Nothing else is needed: the demonstration has a DNS server and data of its own, and removes them when it \
ends. Without --once it stays up and says how to connect to it; end it with Ctrl-C.")]
    Demo {
        /// End after the transcript: exit status 0 if all went as it should, 1 if not
        #[arg(long)]
        once: bool,
    },
    /// Make a server: writes its configuration, database and key file; prints the DNS records to add
    #[command(after_help = "\
Examples:
  hearth init --domain example.org --bind 0.0.0.0 --certificate fullchain.pem --key privkey.pem
  hearth init --domain a.test --dir A --bind 127.0.0.2 --dns 127.0.0.1:5353
  hearth init --domain a.test --dir A --dev

The first is for the Internet. The others are for trying things out on this machine: several servers, each \
on an address of its own, or one with TLS by a certificate of its own making.

It overwrites nothing, and leaves nothing behind if it fails.")]
    Init(Init),
    /// Run the server
    #[command(after_help = "\
Example:
  hearth --config /etc/hearth/hearth.toml serve

SIGTERM and SIGINT end it in order: clients and peers are told. SIGHUP makes it read the configuration's \
rules and the certificate again. The log goes to stderr; RUST_LOG=debug says more, RUST_LOG=warn less.")]
    Serve,
    /// Users and their device keys
    #[command(subcommand)]
    User(User),
    /// Other domains: who is talked to, and how it goes
    #[command(subcommand)]
    Peer(Peer),
    /// How the running server is
    #[command(after_help = "\
Examples:
  hearth status
  hearth status --json | jq .messages_delivered")]
    Status {
        /// As one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Look for what is wrong, and tell how to mend it: files, database, certificate, ports, DNS
    #[command(after_help = "\
Example:
  hearth check

One line for each thing looked at: `ok`, `note` (good to know) or `wrong` (with what to do). Exit status 1 \
if something is wrong.")]
    Check,
    /// Copy the database, consistently, also while the server runs
    #[command(after_help = "\
Example:
  hearth backup /backup/hearth-$(date +%F).db

The key file (hearth.key) is not in it: keep a copy of it elsewhere. To restore, stop the server, put the \
copy back as hearth.db beside the key file, and start it.")]
    Backup {
        /// The copy; must not exist yet
        file: PathBuf,
    },
    /// Send a message and tell what became of it
    #[command(after_help = "\
Examples:
  hearth send --as alice@example.org bob@example.net \"lunch?\"
  uptime | hearth send --as alice bob@example.net

  echo secret | hearth send --as alice --password-stdin bob@example.net \"lunch?\"

Over SIMP the sender logs in with a device key (`hearth user key add alice laptop`): from --key-file, else \
$HEARTH_KEY. Over IMTP, where his server has it, with his password: from --password-stdin, else it is asked \
for. The server of the sender's domain is found by --server, else by the configuration if the domain is its \
own, else by DNS.

Exit status: 0 delivered, or kept for a recipient who is away (a line on stdout says so); 1 refused or failed, \
stderr says why; 2 not understood.")]
    Send(Send),
    /// Talk with people, and see who is there
    #[command(after_help = "\
Examples:
  hearth chat alice@example.org
  hearth chat --server im.example.org alice@example.org
  (cat password; echo \"bob@example.net lunch?\") | hearth chat --password-stdin alice | tee log

F1 or /help shows what can be typed. Contacts are kept in ~/.config/hearth/contacts. The server is found by \
--server, else by the configuration if the domain is its own, else by DNS.

Where stdout is no terminal, messages that come are lines on it (`bob@example.net: text`), and each line on \
stdin (`bob@example.net text`) is a message. It ends with stdin, when all are answered: exit status 0 if every \
one was delivered, 1 if not, and stderr says which.")]
    Chat(Chat),
}

/// What `hearth chat` is told.
#[derive(Debug, Args)]
pub struct Chat {
    /// Who you are [default: $HEARTH_ADDRESS]
    #[arg(value_name = "ADDRESS", value_parser = user)]
    pub address: Option<UserName>,
    /// The server of your domain; it speaks TLS, unless it is on this machine
    #[arg(long, value_name = "HOST[:PORT]")]
    pub server: Option<String>,
    /// Read the password from the first line of stdin instead of asking for it
    #[arg(long)]
    pub password_stdin: bool,
    /// Where contacts are kept
    #[arg(long, value_name = "FILE")]
    pub contacts: Option<PathBuf>,
    /// Lines even on a terminal
    #[arg(long)]
    pub lines: bool,
    /// A name server to find the server by, instead of the system's
    #[arg(long, value_name = "IP:PORT", conflicts_with = "server")]
    pub dns: Option<SocketAddr>,
}

/// What `hearth init` is told.
#[derive(Debug, Args)]
pub struct Init {
    /// The domain to serve: what comes after '@' in its users' addresses
    #[arg(long, value_parser = domain)]
    pub domain: Domain,
    /// Where hearth.toml goes; made if it does not exist
    #[arg(long, default_value = ".")]
    pub dir: PathBuf,
    /// Where database, key file and control socket go [default: beside hearth.toml]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The address to listen on; 0.0.0.0 is all of this machine's. Beyond loopback only TLS is served
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub bind: IpAddr,
    /// The server's name in DNS [default: im.DOMAIN]
    #[arg(long, value_name = "NAME", value_parser = domain)]
    pub host: Option<Domain>,
    /// A name server to ask instead of the system's
    #[arg(long, value_name = "IP:PORT")]
    pub dns: Option<SocketAddr>,
    /// Make a self-signed certificate, to try things out
    #[arg(long, conflicts_with_all = ["certificate", "key"])]
    pub dev: bool,
    /// The certificate chain for TLS, PEM; it must name the domain
    #[arg(long, value_name = "FILE", requires = "key")]
    pub certificate: Option<PathBuf>,
    /// The certificate's private key, PEM
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub key: Option<PathBuf>,
}

/// `hearth user ...`
#[derive(Debug, Subcommand)]
pub enum User {
    /// Add a user; asks for his password
    #[command(after_help = "\
Examples:
  hearth user add alice@example.org
  pwgen 20 1 | hearth user add alice --password-stdin

The name is compared without regard to case. `notifier` is reserved for servers. Clients that know nothing \
but SIMP 1.0 log in with a device key, not with this password: `hearth user key add alice phone` makes one.")]
    Add(Password),
    /// Delete a user and all that is his
    #[command(after_help = "Example:\n  hearth user del alice@example.org")]
    Del(Who),
    /// Give a user a new password
    #[command(after_help = "\
Examples:
  hearth user passwd alice
  pwgen 20 1 | hearth user passwd alice --password-stdin

Device keys stay as they are: take away a lost device's with `hearth user key del alice phone`.")]
    Passwd(Password),
    /// List the users
    #[command(after_help = "\
Examples:
  hearth user list
  hearth user list --json | jq -r '.[].address'")]
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Show what is kept of a user
    #[command(after_help = "Example:\n  hearth user show alice")]
    Show {
        /// Who.
        #[command(flatten)]
        who: Who,
        /// As one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Lock a user out, keeping what is his; to everybody else he is unknown
    #[command(after_help = "Example:\n  hearth user lock alice")]
    Lock(Who),
    /// Let a locked user in again
    #[command(after_help = "Example:\n  hearth user unlock alice")]
    Unlock(Who),
    /// Set who may watch a user, and whether messages are kept while he is away
    #[command(after_help = "\
Examples:
  hearth user set alice watchers=allow
  hearth user set alice watchers=ask messages=keep

  watchers=refuse   strangers may not see whether he is online, unless his access list lets them
  watchers=ask      as refuse, but whom he watches himself may watch him (the default)
  watchers=allow    anybody may watch
  messages=keep     messages that come while he is away wait for his next login
  messages=refuse   their senders are told at once that he is away (the default)

An access list that he sets from his client goes before `watchers`.")]
    Set {
        /// Who.
        #[command(flatten)]
        who: Who,
        /// watchers=refuse|ask|allow, messages=keep|refuse
        #[arg(required = true, value_name = "SETTING", value_parser = setting)]
        settings: Vec<Setting>,
    },
    /// A user's device keys: what his SIMP clients log in with
    #[command(subcommand)]
    Key(Key),
}

/// `hearth user key ...`
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Make a key for a device; prints it, this once
    #[command(after_help = "\
Example:
  hearth user key add alice phone

The key is printed alone on a line, and can't be shown again. Type it into the client as its password. One \
key for each device, so that a lost one can be shut out by itself.")]
    Add(Labelled),
    /// List a user's keys by their labels
    #[command(after_help = "Example:\n  hearth user key list alice")]
    List {
        /// Who.
        #[command(flatten)]
        who: Who,
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Take a key away; the device can't log in again
    #[command(after_help = "Example:\n  hearth user key del alice phone")]
    Del(Labelled),
    /// Make a new key file, and take away all device keys of all users
    #[command(after_help = "\
Example:
  hearth user key renew

For when hearth.key is lost, or others have seen it. The server must be stopped. Passwords, profiles and all
else stay; every device needs a new key afterwards (`hearth user key add`).")]
    Renew,
}

/// `hearth peer ...`
#[derive(Debug, Subcommand)]
pub enum Peer {
    /// List the rules about other domains and, while the server runs, its links with them
    #[command(after_help = "Examples:\n  hearth peer list\n  hearth peer list --json")]
    List {
        /// As one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Talk to a domain even if `open = false` under `[federation]`
    #[command(after_help = "Example:\n  hearth peer allow example.net")]
    Allow(Other),
    /// Never talk to a domain
    #[command(after_help = "Example:\n  hearth peer deny spam.example")]
    Deny(Other),
    /// Forget the rule about a domain
    #[command(after_help = "Example:\n  hearth peer forget spam.example")]
    Forget(Other),
    /// Have the running server find and reach a domain's server, and tell each step
    #[command(after_help = "\
Example:
  hearth peer test example.net

Exit status 0 if its server answered, 1 if not.")]
    Test(Other),
}

/// What `hearth send` is told.
#[derive(Debug, Args)]
pub struct Send {
    /// The sender [default: $HEARTH_ADDRESS]
    #[arg(long = "as", value_name = "ADDRESS", value_parser = user)]
    pub sender: Option<UserName>,
    /// The recipient
    #[arg(value_parser = user)]
    pub to: UserName,
    /// The message [default: what comes on stdin]
    pub text: Option<String>,
    /// A file that holds the sender's device key
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Read the sender's password from the first line of stdin; the message, if it is not given, follows it
    #[arg(long, conflicts_with = "key_file")]
    pub password_stdin: bool,
    /// What to speak [default: imtp with a password, where the server has it; simp with a device key]
    #[arg(long, value_name = "PROTOCOL")]
    pub over: Option<Over>,
    /// The server of the sender's domain
    #[arg(long, value_name = "IP:PORT")]
    pub server: Option<SocketAddr>,
    /// It speaks TLS there
    #[arg(long, requires = "server")]
    pub tls: bool,
    /// A name server to find it by, instead of the system's
    #[arg(long, value_name = "IP:PORT")]
    pub dns: Option<SocketAddr>,
}

/// What `hearth send` speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Over {
    /// IMTP: logs in with the account's password
    Imtp,
    /// SIMP: logs in with a device key
    Simp,
}

/// A user of ours.
#[derive(Debug, Args)]
pub struct Who {
    /// The user: alice@example.org, or alice for the first domain
    #[arg(value_name = "ADDRESS", value_parser = user)]
    pub address: UserName,
}

/// A user of ours, and a new password for him.
#[derive(Debug, Args)]
pub struct Password {
    /// Who.
    #[command(flatten)]
    pub who: Who,
    /// Read the password from the first line of stdin instead of asking for it
    #[arg(long)]
    pub password_stdin: bool,
}

/// A key of a user of ours.
#[derive(Debug, Args)]
pub struct Labelled {
    /// Who.
    #[command(flatten)]
    pub who: Who,
    /// The device: phone, laptop, ...
    #[arg(value_parser = label)]
    pub label: String,
}

/// Another domain.
#[derive(Debug, Args)]
pub struct Other {
    /// The domain
    #[arg(value_parser = domain)]
    pub domain: Domain,
}

/// A user as written: an address, or a local part alone, which is meant in the default domain. Its form is
/// right; whose it is is told by the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserName(String);

impl UserName {
    /// The address meant, given our domains; `None` if it has no domain and we have none.
    pub fn resolve(&self, ours: &Domains) -> Option<Address> {
        if self.0.contains('@') {
            return Address::parse(&self.0, ours).ok();
        }
        let domain = ours.default_domain()?;
        Address::parse(&format!("{}@{domain}", self.0), ours).ok()
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What `hearth user set` can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// `watchers=`
    Watchers(WatcherPolicy),
    /// `messages=`: are they kept?
    Messages(bool),
}

/// Longest label of a key, octets.
const LABEL: usize = 64;

pub(super) fn user(text: &str) -> Result<UserName, String> {
    let whole = if text.contains('@') { text.to_owned() } else { format!("{text}@example.org") };
    match Address::parse(&whole, &Domains::default()) {
        Ok(_) => Ok(UserName(text.to_owned())),
        Err(wrong) => Err(wrong.to_string()),
    }
}

fn domain(text: &str) -> Result<Domain, String> {
    Domain::parse(text).map_err(|_| "not a domain name: write it like example.org".to_owned())
}

fn label(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.len() <= LABEL && harmless(text) == text && !text.contains('\n');
    if fits { Ok(text.to_owned()) } else { Err(format!("a label has 1 to {LABEL} printable characters")) }
}

fn setting(text: &str) -> Result<Setting, String> {
    match text {
        "watchers=refuse" => Ok(Setting::Watchers(WatcherPolicy::Refuse)),
        "watchers=ask" => Ok(Setting::Watchers(WatcherPolicy::Ask)),
        "watchers=allow" => Ok(Setting::Watchers(WatcherPolicy::Allow)),
        "messages=keep" => Ok(Setting::Messages(true)),
        "messages=refuse" => Ok(Setting::Messages(false)),
        _ => Err("settings are watchers=refuse|ask|allow and messages=keep|refuse".to_owned()),
    }
}

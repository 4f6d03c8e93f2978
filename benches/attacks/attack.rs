//! The attacks: what each needs of the server's folder, and the bounds that it must stay in.

use std::net::SocketAddr;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// An attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum Attack {
    /// 10,000 connections that send an octet at a time.
    Slow,
    /// 4,000 connections with commands that are never finished, as long as they may be.
    Halves,
    /// Wrong logins by digest.
    Digest,
    /// Wrong logins by SCRAM.
    Scram,
    /// Wrong logins by PLAIN.
    Plain,
    /// Connections opened and closed as fast as can be, from one address.
    FloodOne,
    /// The same from many.
    FloodMany,
    /// Connections opened from many addresses, and kept, to the limit of descriptors.
    Fill,
    /// TLS handshakes begun as fast as can be.
    Handshakes,
    /// Bombs of XML: entities, depth, attributes, nothing without end.
    Xml,
    /// Headers without end, and lengths that are lies.
    Headers,
    /// Floods of commands of strangers, half of whom read no answers.
    Pipeline,
    /// Two users with eight connections each who say as much as they can.
    Talkers,
    /// A user who never reads what a hundred others write to him.
    DeafReader,
    /// Watchers who never read.
    DeafWatchers,
    /// A thousand watchers of a user who changes his presence as fast as he can, 60 KiB at a time.
    Star,
    /// Users who subscribe to everybody, here and elsewhere, over and over.
    Subscribe,
    /// Access lists of a thousand entries, over and over.
    Lists,
    /// A thousand users log in at once.
    Storm,
    /// Messages to servers that never take them in.
    InFlight,
    /// A peer that never answers.
    PeerSilent,
    /// A peer that never reads.
    PeerDeaf,
    /// A peer that answers wrongly.
    PeerWrong,
    /// A peer that answers an octet at a time.
    PeerSlow,
    /// A peer that closes every connection at once.
    PeerReopen,
    /// A peer that floods us.
    PeerFlood,
    /// Name servers that never answer.
    DnsSilent,
    /// Name servers that lie.
    DnsLies,
}

/// Some of each kind.
pub const SMOKE: [Attack; 8] = [
    Attack::Slow,
    Attack::Halves,
    Attack::FloodMany,
    Attack::Digest,
    Attack::Headers,
    Attack::DeafReader,
    Attack::PeerWrong,
    Attack::DnsLies,
];

impl Attack {
    /// In the table.
    pub fn title(self) -> &'static str {
        match self {
            Attack::Slow => "10,000 slow senders",
            Attack::Halves => "4,000 unfinished commands of 120 KiB",
            Attack::Digest => "wrong logins, digest",
            Attack::Scram => "wrong logins, SCRAM",
            Attack::Plain => "wrong logins, PLAIN",
            Attack::FloodOne => "open and close, one address",
            Attack::FloodMany => "open and close, 500 addresses",
            Attack::Fill => "open and stay, 500 addresses",
            Attack::Handshakes => "TLS handshakes",
            Attack::Xml => "XML bombs",
            Attack::Headers => "header bombs, false lengths",
            Attack::Pipeline => "floods of strangers' commands",
            Attack::Talkers => "two users, 16 connections, all they can say",
            Attack::DeafReader => "a user who never reads, 100 who write to him",
            Attack::DeafWatchers => "50 watchers who never read",
            Attack::Star => "1,000 watchers, changes of 60 KiB",
            Attack::Subscribe => "10 users subscribe to everybody",
            Attack::Lists => "10 users, access lists of 1,000 entries",
            Attack::Storm => "1,000 users log in at once",
            Attack::InFlight => "20 users, 60 KiB messages nobody takes",
            Attack::PeerSilent => "a peer that never answers",
            Attack::PeerDeaf => "a peer that never reads",
            Attack::PeerWrong => "a peer that answers wrongly",
            Attack::PeerSlow => "a peer that answers an octet at a time",
            Attack::PeerReopen => "a peer that closes at once",
            Attack::PeerFlood => "a peer that floods us",
            Attack::DnsSilent => "DNS that never answers",
            Attack::DnsLies => "DNS that lies",
        }
    }

    /// Processes that attack together.
    pub fn attackers(self) -> usize {
        match self {
            Attack::Fill => 2,
            _ => 1,
        }
    }

    /// Accounts that it needs beside those of the honest users.
    pub fn accounts(self) -> impl Iterator<Item = String> {
        let count = match self {
            Attack::Star | Attack::Subscribe | Attack::Storm => 1001,
            Attack::DeafReader | Attack::DeafWatchers => 101,
            Attack::Talkers | Attack::Lists | Attack::InFlight | Attack::PeerSilent | Attack::PeerDeaf => 20,
            Attack::PeerWrong | Attack::PeerSlow | Attack::PeerReopen => 20,
            Attack::DnsSilent | Attack::DnsLies => 20,
            _ => 0,
        };
        (0..count).map(|index| format!("mallory{index}"))
    }

    /// What stands at the end of the configuration.
    pub fn configuration(self, evil: SocketAddr, dns: SocketAddr) -> String {
        let peers = [("evil.test", "simp"), ("wicked.test", "imtp")].map(|(domain, protocol)| {
            format!("[[peer]]\ndomain = \"{domain}\"\nprotocol = \"{protocol}\"\naddress = \"{evil}\"\n\n")
        });
        format!(
            "[dns]\nnameservers = [\"{dns}\"]\n\n[federation]\nrequire = \"medium\"\n\n{}",
            peers.concat()
        )
    }

    /// Octets of memory by which the server may grow meanwhile, MiB; see `docs/security.md`.
    pub fn memory(self) -> f64 {
        match self {
            Attack::Slow => 80.0,
            Attack::Halves => 120.0,
            Attack::Fill => 100.0,
            Attack::Plain => 60.0,
            Attack::InFlight => 200.0,
            // 20,000 domains.
            Attack::DnsSilent | Attack::DnsLies => 100.0,
            // 16 changes of ten users, each several times over.
            Attack::Lists => 80.0,
            Attack::DeafWatchers | Attack::Star | Attack::Storm => 80.0,
            _ => 40.0,
        }
    }

    /// And what of it may be left to the allocator afterwards.
    pub fn kept(self) -> f64 {
        self.memory() * 0.75
    }

    /// Seconds until what it has left behind is over by itself.
    pub fn aftermath(self) -> f64 {
        1.0
    }
}

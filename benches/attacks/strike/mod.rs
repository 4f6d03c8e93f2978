//! The attackers: a process of their own, so that what they do is not mistaken for what the honest users feel.

mod bombs;
mod entrance;
mod flood;
mod peers;
mod swarm;
mod users;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::attack::Attack;
use crate::rig::Failure;
use crate::rig::house::{House, Service};
use peers::Manner;

/// Where an attacker finds his orders.
pub const ORDERS: &str = "ATTACKS_ORDERS";

/// What an attacker is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Orders {
    /// Which attack.
    pub attack: Attack,
    /// Which of its attackers.
    pub number: usize,
    /// For so long, seconds.
    pub seconds: f64,
    /// The domain under attack.
    pub domain: String,
    /// Its listeners.
    pub simp: SocketAddr,
    /// For IMTP.
    pub imtp: SocketAddr,
    /// For PITP.
    pub pitp: SocketAddr,
    /// For all on TLS.
    pub tls: SocketAddr,
    /// Where the domain `evil.test` is.
    pub evil: SocketAddr,
    /// Where the server asks about others.
    pub dns: SocketAddr,
}

impl Orders {
    /// For an attack on a house.
    ///
    /// # Errors
    /// If it has no TLS.
    pub fn new(
        attack: Attack,
        house: &House,
        evil: SocketAddr,
        dns: SocketAddr,
        seconds: f64,
    ) -> Result<Orders, Failure> {
        Ok(Orders {
            attack,
            number: 0,
            seconds,
            domain: house.domain.clone(),
            simp: house.address,
            imtp: house.target(Service::Imtp).address,
            pitp: house.target(Service::Pitp).address,
            tls: house.beside().ok_or("no TLS here")?.address,
            evil,
            dns,
        })
    }

    /// As one of the attackers gets them.
    ///
    /// # Errors
    /// None that can happen.
    pub fn text(&self, number: usize) -> Result<String, Failure> {
        Ok(serde_json::to_string(&Orders { number, ..self.clone() })?)
    }

    /// When it is over.
    pub fn end(&self) -> Instant {
        Instant::now() + Duration::from_secs_f64(self.seconds)
    }
}

/// Is this process to be an attacker? Then it is, and says at the end what it got.
///
/// # Errors
/// Whatever keeps it from attacking.
pub fn asked_for() -> Result<bool, Failure> {
    let Ok(text) = std::env::var(ORDERS) else { return Ok(false) };
    let orders: Orders = serde_json::from_str(&text)?;
    let got = match orders.attack {
        Attack::Slow => flood::slow(&orders)?,
        Attack::Halves => flood::halves(&orders)?,
        Attack::FloodOne => flood::open_and_close(&orders, 1)?,
        Attack::FloodMany => flood::open_and_close(&orders, 500)?,
        Attack::Fill => flood::fill(&orders)?,
        Attack::Handshakes => flood::handshakes(&orders)?,
        Attack::Digest => entrance::digest(&orders)?,
        Attack::Scram => entrance::sasl(&orders, entrance::Mechanism::Scram)?,
        Attack::Plain => entrance::sasl(&orders, entrance::Mechanism::Plain)?,
        Attack::Xml => bombs::xml(&orders)?,
        Attack::Headers => bombs::headers(&orders)?,
        Attack::Pipeline => bombs::pipeline(&orders)?,
        Attack::Talkers => users::talkers(&orders)?,
        Attack::DeafReader => users::deaf_reader(&orders)?,
        Attack::DeafWatchers => users::deaf_watchers(&orders)?,
        Attack::Star => users::star(&orders)?,
        Attack::Subscribe => users::subscribe_many(&orders)?,
        Attack::Lists => users::lists(&orders)?,
        Attack::Storm => users::storm(&orders)?,
        Attack::InFlight => users::in_flight(&orders)?,
        Attack::PeerSilent => peers::outbound(&orders, Manner::Silent)?,
        Attack::PeerDeaf => peers::outbound(&orders, Manner::Deaf)?,
        Attack::PeerWrong => peers::outbound(&orders, Manner::Wrong)?,
        Attack::PeerSlow => peers::outbound(&orders, Manner::Slow)?,
        Attack::PeerReopen => peers::outbound(&orders, Manner::Reopen)?,
        Attack::PeerFlood => peers::inbound(&orders)?,
        Attack::DnsSilent => peers::dns(&orders, false)?,
        Attack::DnsLies => peers::dns(&orders, true)?,
    };
    println!("{got}");
    Ok(true)
}

/// One of many addresses of this machine, none of them that of the honest users.
pub fn source(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 8 + (number >> 8) as u8, (number & 255) as u8, 7)
}

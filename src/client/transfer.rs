//! Clients of IMTP and PITP (draft-hudson-impp-transfer-proposal-01), as [`crate::client`] has one of SIMP.
//!
//! ```text
//! octets -> wire -> login (SASL), then service -> Events        calls -> commands -> octets
//! ```
//!
//! A [`Session`] is one connection without I/O: octets in, octets and events out. [`imtp`] says what can be
//! asked of it for messages, [`pitp`] for presence. What the server asks is answered here where only one
//! answer is right; messages are for the program to answer. The
//! [`blocking`](crate::client::blocking::transfer) front carries the octets.
//!
//! ```no_run
//! use std::time::Duration;
//! use hearth::client::{Account, Error, Proof, blocking::{Place, transfer::{Messages, Presence}}};
//! use hearth::client::transfer::{Body, Event};
//! use hearth::credential::Secret;
//!
//! # fn main() -> Result<(), Error> {
//! let alice = Account::new("alice@example.org", Proof::Password(Secret::new("correct horse".into())))?;
//! let mut messages = Messages::login(&Place::clear("127.0.0.1", 4687), &alice)?;
//! messages.listen(&[], &["*@spam.example"])?;
//! messages.send("bob@example.net", &Body::plain("lunch?"))?;
//! while let Some(event) = messages.next_event(Duration::from_secs(60))? {
//!     if let Event::Told(notice) = event {
//!         println!("{}: {}", notice.message.sender, notice.message.body.text());
//!         messages.okay(notice.id, None)?;
//!     }
//! }
//! let mut presence = Presence::login(&Place::clear("127.0.0.1", 7487), &alice)?;
//! println!("{}", presence.subscribe("bob@example.net")?.text());
//! # Ok(()) }
//! ```

pub mod imtp;
mod login;
pub mod pitp;
mod session;
#[cfg(test)]
mod tests;
mod types;
mod wire;

pub use login::{Channel, Login};
pub use session::{Event, RequestId, Service, Session, Told};
pub use types::{Body, Failure};

//! The other end of the native protocols: what `hearth send`, tests, bots and benchmarks speak with.
//!
//! ```text
//! Login (routing connection) --> Ticket --> Session (notification connection) --> Events
//! ```
//!
//! That is SIMP; IMTP and PITP are in [`transfer`].
//!
//! [`Login`] and [`Session`] are state machines without I/O: octets in, octets and events out. The
//! [`blocking`] front carries their octets over `std` sockets, in clear or on TLS.
//!
//! ```no_run
//! use std::time::Duration;
//! use hearth::client::{Account, Event, Proof, blocking::{Client, Place}};
//! use hearth::credential::Secret;
//!
//! # fn main() -> Result<(), hearth::client::Error> {
//! let account = Account::new("alice@example.org", Proof::DeviceKey(Secret::new("k3y".into())))?;
//! let mut alice = Client::login(&Place::clear("127.0.0.1", 7467), account)?;
//! alice.send("bob@example.net", "lunch?")?;
//! while let Some(event) = alice.next_event(Duration::from_secs(60))? {
//!     if let Event::Message { id, message } = event {
//!         println!("{}: {}", message.from, message.body);
//!         alice.okay(id, "read")?;
//!     }
//! }
//! # Ok(()) }
//! ```

pub mod blocking;
pub mod fuzz;
mod login;
mod session;
mod stream;
#[cfg(test)]
mod tests;
pub mod transfer;
mod types;

pub use login::{Login, Ticket};
pub use session::{Answer, Event, Incoming, RequestId, Session};
pub use types::{Account, Entries, Error, Message, Presence, Proof, ReceivedMessage, Status, buddies};

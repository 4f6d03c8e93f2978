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

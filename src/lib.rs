//! hearth: the home server of an instant-messaging domain.
//!
//! ```text
//! bytes --> codec --> connection --> adapter --> HUB --> adapter --> connection --> codec --> bytes
//!           (per protocol, no I/O)               (protocol-neutral operations)
//! ```
//!
//! * [`simp`], [`imtp`]: a protocol family each: codec, connection, adapter; no sockets, clocks or randomness.
//! * [`pidf`]: the presence documents of PITP, to and from the hub's presence.
//! * [`hub`]: the protocol-neutral heart: accounts, endpoints, messages, presence, subscriptions.
//! * [`federation`]: which server of another domain to talk to, and which to believe.
//! * [`node`]: a whole home server without I/O; one input enum, one ordered output.
//! * [`server`]: sockets, threads and clocks: carries bytes between the world and a node.
//! * [`store`]: the only user of SQLite.
//! * [`sim`]: several nodes in one process on a simulated network, driven by one seed.
//! * [`client`]: the other end of the native protocols, for `hearth send`, tests and bots.
//! * [`cli`]: the commands, one file each.
//! * [`fuzz`]: what the entry points for fuzzing share; every reader has its own in a module of that name.

pub mod admin;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod credential;
pub mod federation;
pub mod fuzz;
pub mod hub;
pub mod imtp;
pub mod limits;
pub mod mime;
pub mod node;
pub mod pidf;
pub mod server;
pub mod sim;
pub mod simp;
pub mod store;
pub mod table;
pub mod timers;

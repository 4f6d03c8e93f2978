//! Several nodes in one process on a simulated network, DNS, disk and clock, all driven by one seed.
//!
//! Where it stands: in place of [`crate::server`]. It drives each [`Node`](crate::node::Node) through
//! the same inputs and outputs as the event loop does, so what holds here holds there but for sockets.
//! The same seed gives the same run, to the octet: a failing seed is a repeatable bug.
//!
//! * [`world`]: the event queue, the hosts, and what happens when an event's time has come.
//! * [`host`]: one home server: its node, its connections' slots, its disk; crash and restart.
//! * [`net`]: the streams between two ends: latency, splitting, loss, partition.
//! * `older`: a server of a release without hearth's own extensions.
//! * [`dns`], [`disk`]: what resolver and store answer, how late, and how they fail.
//! * [`client`]: the other end of a connection: a client, or a server played by a test, in any of the protocols.
//! * [`reader`], [`transfer`]: strict readers of what a server writes, independent of the server's own codecs.
//! * [`entering`], [`sasl`]: how clients and played servers of IMTP and PITP come in.
//! * [`script`], [`play`]: conversations as text, and how they are acted out.
//!
//! It is an instrument of tests: a node that breaks the contract of its driver ends it with a panic
//! that names the seed.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

pub mod chance;
pub mod client;
pub mod clients;
pub mod disk;
pub mod dns;
pub mod entering;
mod event;
pub mod host;
pub mod net;
mod older;
pub mod play;
pub mod reader;
pub mod sasl;
pub mod script;
pub mod stage;
pub mod transfer;
pub mod world;

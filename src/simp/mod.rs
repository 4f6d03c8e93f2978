//! SIMP 1.0 (draft-ramsdell-simp-protocol-00): messages, presence, subscriptions, profiles, access
//! control lists.
//!
//! ```text
//! octets -> framer -> object -> command -> connection and adapter -> write -> octets
//! ```
//!
//! | section of the draft | where | state |
//! | --- | --- | --- |
//! | 3.1 ports and connections | `conn` | done |
//! | 3.2 properties objects | [`object`], [`mod@write`] | done |
//! | 3.3 commands | [`command`] | done |
//! | 3.4 signed commands | | not: 1.0 has no format for them |
//! | 3.5 streams | [`framer`], [`mod@write`] | done |
//! | 3.6 requests and replies | [`command`], `conn` | done |
//! | 3.7, 3.8 profiles, access control | `adapter`, [`hub::acl`](crate::hub::acl) | done |
//! | 4.2 types, well-formedness | [`command`] | done |
//! | 5 to 10 requests, notifications, login | [`command`], `adapter` | done |
//! | 11 unrecognized requests | [`command`] | done |

pub mod adapter;
pub mod command;
pub(crate) mod conn;
pub(crate) mod entrance;
pub mod framer;
pub mod fuzz;
pub mod login;
pub mod object;
pub(crate) mod requests;
pub mod write;
mod xml;

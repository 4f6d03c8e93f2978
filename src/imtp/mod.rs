//! IMTP and PITP (draft-hudson-impp-transfer-proposal-01): messages, and a store of presence with watcher
//! classes. Two services on connections of their own that share one wire format, so one family here.
//!
//! ```text
//! octets -> framer -> message -> command -> connection and adapter -> write -> octets
//! ```
//!
//! | section of the draft | where |
//! | --- | --- |
//! | 9 identifiers, 11.3 patterns | [`url`], [`hub::pattern`](crate::hub::pattern) |
//! | 10 protocol messages | [`framer`], [`message`], [`mod@write`] |
//! | 11 headers, 14 to 16 methods | [`method`], [`command`] |
//! | 12 errors | [`error_type`] |
//! | 8 roles, 14 to 16 what is done | `conn`, `entrance`, `requests`, `link`, [`adapter`] |

pub mod adapter;
mod beyond;
pub mod command;
pub(crate) mod conn;
pub(crate) mod entrance;
pub mod error_type;
pub mod framer;
pub mod fuzz;
mod link;
pub mod message;
pub mod method;
mod requests;
pub(crate) mod session;
pub mod url;
pub mod write;

use crate::hub::pattern::{self, Schemes};

/// Which of the two is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Messages.
    Imtp,
    /// Presence.
    Pitp,
}

impl Protocol {
    /// The scheme of its identifiers, as it is written.
    pub const fn scheme(self) -> &'static str {
        match self {
            Protocol::Imtp => "im",
            Protocol::Pitp => "presence",
        }
    }

    /// The schemes that are read.
    pub const fn schemes(self) -> &'static Schemes {
        match self {
            Protocol::Imtp => &pattern::MESSAGES,
            Protocol::Pitp => &pattern::PRESENCE,
        }
    }

    /// The type of a payload that does not say its own (PITP-10-1, IMTP-10-1, TOC-38).
    pub const fn default_type(self) -> &'static str {
        match self {
            Protocol::Imtp => "text/plain; charset=UTF-8",
            Protocol::Pitp => "application/presence",
        }
    }
}

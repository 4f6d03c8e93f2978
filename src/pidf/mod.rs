//! PIDF-00 (draft-hudson-impp-pidf-proposal-00): the presence documents that PITP carries, as text of the
//! type `application/presence`. Read leniently, written strictly, and converted to and from the hub's
//! presence.
//!
//! ```text
//! octets -> read -> Doc -> convert -> Gist         presence -> convert -> write -> octets
//! ```
//!
//! | section of the draft | where | state |
//! | --- | --- | --- |
//! | 4 type, grammar | `read`, [`Writer`] | done |
//! | 5 variables | [`Doc`], `date` | done |
//! | 6 namespaces | `read`, [`Variable`] | done |
//! | 8 new names | | a rule for standards |
//! | 9 security | | not: nothing is signed here |
//!
//! Documents as they are published are kept and passed on octet for octet; what is read of them here is
//! what other protocols can say.

mod convert;
mod date;
mod doc;
pub mod fuzz;
mod read;
mod write;

pub use convert::{CONTENT_TYPE, VOCABULARY, gist, of_presence};
pub use doc::{Contact, Context, Doc, Name, Status, Variable};
pub use read::{IllFormed, Why, parse};
pub use write::Writer;

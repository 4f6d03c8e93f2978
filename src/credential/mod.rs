//! What proves who somebody is: passwords' verifiers, device keys, digests.
//!
//! Two kinds of secret, kept apart (design 4). The account's password is known to its owner alone:
//! only what can check it is kept ([`PasswordRecord`], [`verify_argon2`]). A device key is made by the
//! server for one device and is known to it, because the digests of SIMP and SIP can't be checked
//! otherwise ([`device_key`], [`simp`]). IMTP and PITP log in by SASL ([`sasl`], [`scram`]), with the
//! account's password or a server's certificate. Nothing here draws random numbers or does I/O.

pub mod channel;
pub mod device;
pub mod fuzz;
pub mod password;
pub mod sasl;
pub mod scram;
pub mod simp;

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use device::device_key;
pub use password::{BadPassword, Cost, PasswordRecord, decoy_verifier, verify_argon2};
pub use simp::{Algorithm, check_digest, open_plain};

/// A text that must not be seen: zeroed when dropped, and never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes it in.
    pub fn new(text: String) -> Secret {
        Secret(Zeroizing::new(text))
    }

    /// The text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

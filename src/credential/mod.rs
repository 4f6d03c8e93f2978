//! What proves who somebody is: passwords' verifiers, device keys, digests.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

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

/// All that is kept of a password: verifiers, from which it can't be had back.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordRecord {
    /// argon2id, PHC string format.
    pub argon2: String,
    /// SCRAM-SHA-256 (RFC 5802 3): salt, Base64.
    pub scram_salt: String,
    /// SCRAM-SHA-256: iterations.
    pub scram_iterations: u32,
    /// SCRAM-SHA-256: StoredKey, Base64.
    pub scram_stored_key: String,
    /// SCRAM-SHA-256: ServerKey, Base64.
    pub scram_server_key: String,
}

impl fmt::Debug for PasswordRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(verifiers)")
    }
}

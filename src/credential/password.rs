//! Verifiers of account passwords: argon2id for PLAIN, SCRAM-SHA-256 keys for SASL.
//!
//! Made when the operator sets a password, checked at a login on TLS or loopback. Checking is slow on
//! purpose (some ten milliseconds and 19 MiB): the driver does it on its password helpers, never
//! in the loop.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;

use argon2::password_hash::PasswordHasher;
use argon2::password_hash::phc::Output;
use argon2::{Algorithm, Argon2, Block, Params, PasswordHash, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use ring::pbkdf2::{self, PBKDF2_HMAC_SHA256};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

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

/// Why a text can't be a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadPassword {
    /// Nothing is left of it once it is prepared for comparison.
    Empty,
    /// Longer than [`MAX_PASSWORD`].
    TooLong,
    /// It holds a NUL, which ends a password in PLAIN (RFC 4616 2).
    Nul,
}

impl fmt::Display for BadPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadPassword::Empty => f.write_str("the password is empty"),
            BadPassword::TooLong => write!(f, "the password is longer than {MAX_PASSWORD} bytes"),
            BadPassword::Nul => f.write_str("the password has a NUL in it"),
        }
    }
}

impl std::error::Error for BadPassword {}

/// Longest password in bytes: longer than anybody types, and bounds the work of preparing it.
pub const MAX_PASSWORD: usize = 1024;

/// How much work a guess shall cost whoever has stolen the verifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// argon2id: memory, KiB.
    memory: u32,
    /// argon2id: passes.
    passes: u32,
    /// SCRAM: iterations of PBKDF2; paid by the client at each login, by us only when it is set.
    iterations: u32,
}

impl Cost {
    /// For use: OWASP's first choice for argon2id; for SCRAM more than the 4096 that RFC 7677 (4) asks
    /// for at least, since a thief would attack the weaker verifier, but bearable for a small device.
    pub const DEFAULT: Cost = Cost { memory: 19_456, passes: 2, iterations: 100_000 };
    /// As little as the standards allow: for tests and benchmarks with many accounts.
    pub const LEAST: Cost = Cost { memory: 8, passes: 1, iterations: 4096 };

    /// SCRAM: iterations of PBKDF2.
    pub fn iterations(self) -> u32 {
        self.iterations
    }
}

impl PasswordRecord {
    /// The verifiers of a password, with [`Cost::DEFAULT`]. `salts` are random: 16 bytes for argon2id,
    /// 16 for SCRAM.
    ///
    /// # Errors
    /// [`BadPassword`] if the text can't be one.
    pub fn make(password: &str, salts: [u8; 32]) -> Result<PasswordRecord, BadPassword> {
        PasswordRecord::with_cost(password, salts, Cost::DEFAULT)
    }

    /// As [`make`](PasswordRecord::make), at another cost.
    ///
    /// # Errors
    /// [`BadPassword`] if the text can't be one.
    pub fn with_cost(password: &str, salts: [u8; 32], cost: Cost) -> Result<PasswordRecord, BadPassword> {
        if password.len() > MAX_PASSWORD {
            return Err(BadPassword::TooLong);
        }
        if password.contains('\0') {
            return Err(BadPassword::Nul);
        }
        let prepared = prepare(password);
        if prepared.is_empty() {
            return Err(BadPassword::Empty);
        }
        let (argon2_salt, scram_salt) = salts.split_at(16);
        // The parameters are constants within the crate's bounds and the length is checked above.
        let argon2 = hasher(cost)
            .and_then(|h| h.hash_password_with_salt(prepared.as_bytes(), argon2_salt).ok())
            .map(|hash: PasswordHash| hash.to_string())
            .ok_or(BadPassword::TooLong)?;
        let salted = salted(password, scram_salt, cost.iterations);
        let client_key = Zeroizing::new(hmac_sha256(salted.as_ref(), b"Client Key"));
        Ok(PasswordRecord {
            argon2,
            scram_salt: STANDARD.encode(scram_salt),
            scram_iterations: cost.iterations,
            scram_stored_key: STANDARD.encode(Sha256::digest(client_key.as_ref())),
            scram_server_key: STANDARD.encode(hmac_sha256(salted.as_ref(), b"Server Key")),
        })
    }
}

/// RFC 5802 3: SaltedPassword, the slow part of SCRAM. The password is prepared here.
pub(super) fn salted(password: &str, salt: &[u8], iterations: u32) -> Zeroizing<[u8; 32]> {
    let password = prepare(password);
    let mut salted = Zeroizing::new([0; 32]);
    // RFC 5802 asks for one iteration at least.
    let iterations = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
    pbkdf2::derive(PBKDF2_HMAC_SHA256, iterations, salt, password.as_bytes(), salted.as_mut());
    salted
}

/// Does the password fit the verifier (PHC string format)? Takes some ten milliseconds.
pub fn verify_argon2(verifier: &str, password: &str) -> bool {
    if password.len() > MAX_PASSWORD {
        return false;
    }
    let Ok(verifier) = PasswordHash::new(verifier) else { return false };
    let found = hashed(&verifier, prepare(password).as_bytes());
    // Both are compared in constant time.
    found.is_some() && found == verifier.hash
}

/// What a verifier's parameters and salt make of a password; none if they are none that can be used.
fn hashed(verifier: &PasswordHash, password: &[u8]) -> Option<Output> {
    let params = Params::try_from(verifier).ok()?;
    let algorithm = Algorithm::try_from(verifier.algorithm.as_str()).ok()?;
    let version = verifier.version.map_or(Ok(Version::default()), Version::try_from).ok()?;
    let (salt, expected) = (verifier.salt.as_ref()?, verifier.hash.as_ref()?);
    let mut output = [0; Output::MAX_LENGTH];
    let output = output.get_mut(..expected.len())?;
    let memory = memory(params.block_count())?;
    let argon2 = Argon2::new(algorithm, version, params);
    argon2.hash_password_into_with_memory(password, salt, output, memory).ok()?;
    Output::new(output).ok()
}

/// The memory of one check, which goes back to the system at its end. Allocators keep what a thread has given
/// back for its next use, unless it is larger than any bound of theirs (glibc's is 32 MiB): for each thread that
/// checks passwords that would be tens of megabytes for ever. What is reserved and not touched costs nothing.
fn memory(blocks: usize) -> Option<Vec<Block>> {
    const LARGE: usize = 33 * 1024 * 1024 / Block::SIZE;
    let mut memory = Vec::new();
    memory.try_reserve_exact(blocks.max(LARGE)).ok()?;
    memory.resize(blocks, Block::new());
    Some(memory)
}

/// A verifier that no password fits, which takes as long as a real one: for users who don't exist
/// (OC-15), so that time does not tell them from wrong passwords.
pub fn decoy_verifier() -> &'static str {
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
}

/// RFC 4013 (SASLprep), as RFC 5802 (2.2) and RFC 4616 (2) ask, so that a password typed on another
/// keyboard or system is the same. What it forbids is taken as it is: better than locking somebody out
/// of an emoji he chose.
fn prepare(password: &str) -> Zeroizing<String> {
    Zeroizing::new(match stringprep::saslprep(password) {
        Ok(Cow::Borrowed(same)) => same.to_owned(),
        Ok(Cow::Owned(prepared)) => prepared,
        Err(_) => password.to_owned(),
    })
}

fn hasher(cost: Cost) -> Option<Argon2<'static>> {
    let params = Params::new(cost.memory, cost.passes, 1, None).ok()?;
    Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// HMAC-SHA-256 (RFC 2104), which takes keys of any length.
pub(crate) fn hmac_sha256(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut mac = match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mac) => mac,
        // HMAC shortens a key that is longer than a block; there is no length it refuses.
        Err(_) => unreachable!("HMAC takes any key"),
    };
    mac.update(text);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn cheap(password: &str) -> PasswordRecord {
        PasswordRecord::with_cost(password, [7; 32], Cost::LEAST).unwrap()
    }

    #[test]
    fn argon2_tells_the_password_from_others() {
        let record = PasswordRecord::make("correct horse", [1; 32]).unwrap();
        assert!(record.argon2.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", record.argon2);
        assert!(verify_argon2(&record.argon2, "correct horse"));
        assert!(!verify_argon2(&record.argon2, "correct horsf"));
        assert!(!verify_argon2(&record.argon2, ""));
        assert!(!verify_argon2("", "correct horse"));
        assert!(!verify_argon2("$argon2id$v=19$m=19456", "correct horse"));
    }

    #[test]
    fn a_checks_memory_is_more_than_any_allocator_keeps() {
        let memory = memory(19_456).unwrap();
        assert!(memory.len() == 19_456 && memory.capacity() * Block::SIZE > 32 * 1024 * 1024);
        assert!(memory.capacity() < 2 * memory.len());
    }

    #[test]
    fn a_decoy_costs_what_a_password_costs_and_fits_none() {
        // OC-15
        let real = PasswordRecord::make("x", [1; 32]).unwrap().argon2;
        let shape = |phc: &str| phc.split('$').map(str::len).collect::<Vec<_>>();
        assert_eq!(shape(&real), shape(decoy_verifier()));
        assert_eq!(real.split('$').nth(3), decoy_verifier().split('$').nth(3));
        assert!(PasswordHash::new(decoy_verifier()).is_ok());
        assert!(!verify_argon2(decoy_verifier(), "x"));
    }

    #[test]
    fn scram_keys_are_those_of_rfc_7677() {
        // RFC 7677 3: user "user", password "pencil".
        let mut salts = [0; 32];
        salts[16..].copy_from_slice(&STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap());
        let record = PasswordRecord::with_cost("pencil", salts, Cost::LEAST).unwrap();
        assert_eq!(record.scram_iterations, 4096);
        assert_eq!(record.scram_salt, "W22ZaJ0SNY7soEsUEjb6gQ==");
        let message = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                       s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let stored = STANDARD.decode(&record.scram_stored_key).unwrap();
        let server = STANDARD.decode(&record.scram_server_key).unwrap();
        let signature = hmac_sha256(&stored, message.as_bytes());
        let proof = STANDARD.decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").unwrap();
        let client_key: Vec<u8> = proof.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        assert_eq!(Sha256::digest(&client_key).as_slice(), stored);
        assert_eq!(
            STANDARD.encode(hmac_sha256(&server, message.as_bytes())),
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
        );
    }

    #[test]
    fn passwords_are_prepared_alike_on_both_sides() {
        // RFC 4013 3: a soft hyphen is mapped to nothing, compatibility forms are unified.
        let record = cheap("I\u{ad}X");
        assert_eq!(record.scram_stored_key, cheap("IX").scram_stored_key);
        assert!(verify_argon2(&record.argon2, "\u{2168}"));
        assert!(verify_argon2(&cheap("caf\u{e9}").argon2, "cafe\u{301}"));
        // What SASLprep forbids is still a password.
        assert!(verify_argon2(&cheap("a\u{7}b\u{1f980}").argon2, "a\u{7}b\u{1f980}"));
    }

    #[test]
    fn no_password_is_no_password() {
        assert_eq!(PasswordRecord::make("", [0; 32]), Err(BadPassword::Empty));
        assert_eq!(PasswordRecord::make("\u{ad}", [0; 32]), Err(BadPassword::Empty));
        assert_eq!(PasswordRecord::make(&"x".repeat(1025), [0; 32]), Err(BadPassword::TooLong));
        // RFC 4616 2: PLAIN could not carry it
        assert_eq!(PasswordRecord::make("pen\0cil", [0; 32]), Err(BadPassword::Nul));
        assert!(!verify_argon2(&cheap("x").argon2, &"x".repeat(1025)));
    }

    #[test]
    fn verifiers_are_not_printed() {
        assert_eq!(format!("{:?}", cheap("x")), "(verifiers)");
    }
}

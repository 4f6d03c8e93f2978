//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, 7677): both ends prove that they know the password's
//! keys, and neither tells them.
//!
//! ```text
//!  client                                    server
//!  Client::start     --- client-first --->   ClientFirst::parse: the user's name; his keys are read
//!  Client::respond   <-- server-first ----   ClientFirst::challenge, with his keys or a decoy's
//!                    --- client-final --->   Exchange::answer
//!  Client::verify    <-- server-final ----
//! ```
//!
//! Written here, since the crates there are ask for a user's keys by a callback that answers at once
//! (`rsasl`, `scram`, `scram-rs`), and ours come from the store a tick later; hashing and HMAC are RustCrypto's,
//! PBKDF2 is ring's. Nonces are handed in. The channel binding is `tls-server-end-point`
//! ([`channel`](super::channel)).

mod client;
mod server;
#[cfg(test)]
mod tests;

pub use client::{Binding, Client};
pub use server::{ClientFirst, Exchange, Keys};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::password::hmac_sha256;
use super::sasl::{MAX_MESSAGE, SaslError};

/// The type of channel binding that we have (RFC 5929 4).
pub const END_POINT: &str = "tls-server-end-point";

/// Random octets of a [`nonce`].
pub const NONCE: usize = 18;

/// One side's part of the nonce: printable, without commas.
pub fn nonce(random: [u8; NONCE]) -> String {
    STANDARD.encode(random)
}

/// What both ends sign: the three messages, of the last one what is before the proof.
fn signature(key: &[u8; 32], so_far: &str, without_proof: &str) -> [u8; 32] {
    hmac_sha256(key, [so_far, without_proof].concat().as_bytes())
}

/// A message as text: UTF-8 without NUL, and of bounded length.
fn text(message: &[u8]) -> Result<&str, SaslError> {
    if message.len() > MAX_MESSAGE || message.contains(&0) {
        return Err(SaslError::Malformed);
    }
    std::str::from_utf8(message).map_err(|_| SaslError::Malformed)
}

/// The attributes of a message, in order.
struct Attributes<'a>(std::str::Split<'a, char>);

impl<'a> Attributes<'a> {
    fn of(text: &'a str) -> Attributes<'a> {
        Attributes(text.split(','))
    }

    /// The value of the next attribute, which must be the one named, and not empty.
    fn required(&mut self, name: char) -> Result<&'a str, SaslError> {
        match self.0.next().and_then(split) {
            Some((found, value)) if found == name => Ok(value),
            Some(('m', _)) => Err(SaslError::Extension),
            _ => Err(SaslError::Malformed),
        }
    }

    /// What is left may be extensions: those that we needn't know are passed over (RFC 5802 5.1).
    fn extensions(self) -> Result<(), SaslError> {
        for attribute in self.0 {
            match split(attribute) {
                Some(('m', _)) => return Err(SaslError::Extension),
                Some(_) => {}
                None => return Err(SaslError::Malformed),
            }
        }
        Ok(())
    }
}

/// A letter and its value, which is not empty.
fn split(attribute: &str) -> Option<(char, &str)> {
    let (name, value) = attribute.split_once('=')?;
    let mut letters = name.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) if letter.is_ascii_alphabetic() && !value.is_empty() => Some((letter, value)),
        _ => None,
    }
}

/// A name with its commas and equals signs.
fn decode_name(encoded: &str) -> Result<String, SaslError> {
    let mut parts = encoded.split('=');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (sign, rest) = match part.split_at_checked(2) {
            Some(("2C", rest)) => (',', rest),
            Some(("3D", rest)) => ('=', rest),
            _ => return Err(SaslError::Name),
        };
        name.push(sign);
        name.push_str(rest);
    }
    if name.is_empty() { Err(SaslError::Name) } else { Ok(name) }
}

/// The other way.
fn encode_name(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

fn is_nonce(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() && b != b',')
}

/// 32 octets in Base64.
fn decode_32(base64: &str) -> Option<[u8; 32]> {
    let mut octets = [0; 33];
    match STANDARD.decode_slice(base64, &mut octets) {
        Ok(32) => octets.first_chunk().copied(),
        _ => None,
    }
}

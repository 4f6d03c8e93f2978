//! The server's end. Three steps, each a value of its own: what the client begins with, what waits for his
//! proof, and the proof. No step costs more than a few hashes: the client does the work.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{
    Attributes, END_POINT, SaslError, decode_32, decode_name, hmac_sha256, is_nonce, signature, text,
};
use crate::credential::sasl::prepare_name;
use crate::credential::{Cost, PasswordRecord};

/// What the server knows of a user's password.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    salt: Box<str>,
    iterations: u32,
    stored: Zeroizing<[u8; 32]>,
    server: Zeroizing<[u8; 32]>,
}

impl Keys {
    /// A user's. `None` if the record is damaged.
    pub fn of(record: &PasswordRecord) -> Option<Keys> {
        Some(Keys {
            salt: record.scram_salt.as_str().into(),
            iterations: record.scram_iterations,
            stored: decode_32(&record.scram_stored_key).map(Zeroizing::new)?,
            server: decode_32(&record.scram_server_key).map(Zeroizing::new)?,
        })
    }

    /// A user's who may not log in: they look as ever, and no password fits them.
    pub fn locked(self) -> Keys {
        Keys { stored: Zeroizing::default(), server: Zeroizing::default(), ..self }
    }

    /// Those of a user who does not exist: no password fits them, and nobody who
    /// does not know `secret` can tell them from real ones. They are the same whenever he is asked for, so
    /// give the name in the form in which accounts are compared.
    pub fn decoy(secret: &[u8; 32], account: &str) -> Keys {
        let derive = |purpose: &str| hmac_sha256(secret, [purpose, "\0", account].concat().as_bytes());
        let salt = derive("scram salt of nobody");
        Keys {
            // As long as a real one.
            salt: STANDARD.encode(salt.first_chunk::<16>().unwrap_or(&[0; 16])).into(),
            iterations: Cost::DEFAULT.iterations(),
            stored: Zeroizing::new(derive("scram stored key of nobody")),
            server: Zeroizing::new(derive("scram server key of nobody")),
        }
    }
}

/// Neither shown nor logged.
impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(verifiers)")
    }
}

/// What the client begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFirst {
    /// Who he says he is, prepared (RFC 4013).
    pub user: Box<str>,
    /// Whom he wants to act as, if he says so.
    pub authzid: Option<Box<str>>,
    /// The message behind the header, as it came.
    bare: Box<str>,
    nonce: Box<str>,
    /// What his `c=` must be.
    channel: Box<str>,
}

impl ClientFirst {
    /// Reads client-first. `plus`: it came for SCRAM-SHA-256-PLUS. `binding`: the channel's
    /// `tls-server-end-point`, if this connection has offered PLUS; none otherwise.
    ///
    /// # Errors
    /// [`SaslError`]; also for a header that shows that somebody has hidden PLUS from the client.
    pub fn parse(message: &[u8], plus: bool, binding: Option<&[u8]>) -> Result<ClientFirst, SaslError> {
        let message = text(message)?;
        let mut header = message.splitn(3, ',');
        let (Some(flag), Some(authzid), Some(bare)) = (header.next(), header.next(), header.next()) else {
            return Err(SaslError::Malformed);
        };
        let data = check_flag(flag, plus, binding)?;
        let authzid = match authzid.strip_prefix("a=") {
            Some(encoded) => Some(decode_name(encoded)?.into()),
            None if authzid.is_empty() => None,
            None => return Err(SaslError::Malformed),
        };
        let mut attributes = Attributes::of(bare);
        let user = decode_name(attributes.required('n')?)?;
        let nonce = attributes.required('r')?;
        if !is_nonce(nonce) {
            return Err(SaslError::Malformed);
        }
        attributes.extensions()?;
        let header = message.len() - bare.len();
        let channel = STANDARD.encode([message.as_bytes().get(..header).unwrap_or_default(), data].concat());
        Ok(ClientFirst {
            user: prepare_name(&user)?,
            authzid,
            bare: bare.into(),
            nonce: nonce.into(),
            channel: channel.into(),
        })
    }

    /// Makes server-first, and what waits for its answer. `nonce` is our part of the nonce: random and
    /// printable, without commas ([`nonce`](super::nonce)).
    pub fn challenge(self, keys: &Keys, nonce: &str) -> (Box<Exchange>, Vec<u8>) {
        let nonce = [&self.nonce, nonce].concat();
        let challenge = format!("r={nonce},s={},i={}", keys.salt, keys.iterations);
        let exchange = Exchange {
            so_far: format!("{},{challenge},", self.bare).into(),
            nonce: nonce.into(),
            channel: self.channel,
            stored: keys.stored.clone(),
            server: keys.server.clone(),
        };
        (Box::new(exchange), challenge.into_bytes())
    }
}

/// Does the flag of the header go with the mechanism and the channel (RFC 5802 6)? Gives the octets to
/// be bound to.
fn check_flag<'b>(flag: &str, plus: bool, binding: Option<&'b [u8]>) -> Result<&'b [u8], SaslError> {
    match (flag, plus) {
        // The client can't bind; then it doesn't ask for PLUS.
        ("n", false) => Ok(&[]),
        // It could, and thinks that we can't. If we have offered it, he was lied to.
        ("y", _) if binding.is_some() => Err(SaslError::Downgrade),
        ("y", false) => Ok(&[]),
        ("n" | "y", true) => Err(SaslError::BindingFlag),
        _ => match (flag.strip_prefix("p="), binding) {
            (None | Some(""), _) => Err(SaslError::Malformed),
            (Some(END_POINT), Some(data)) if plus => Ok(data),
            (Some(_), Some(_)) if plus => Err(SaslError::BindingType),
            (Some(_), _) => Err(SaslError::BindingFlag),
        },
    }
}

/// What is kept until the client's proof comes.
pub struct Exchange {
    /// The messages so far, as they are signed.
    so_far: Box<str>,
    nonce: Box<str>,
    channel: Box<str>,
    stored: Zeroizing<[u8; 32]>,
    server: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").finish_non_exhaustive()
    }
}

impl Exchange {
    /// Reads client-final; gives server-final, which tells the client that we know his keys.
    ///
    /// # Errors
    /// [`SaslError`]; [`SaslError::Proof`] for a wrong password and for a user who does not exist.
    pub fn answer(&self, message: &[u8]) -> Result<Vec<u8>, SaslError> {
        let message = text(message)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(SaslError::Malformed)?;
        let mut attributes = Attributes::of(without_proof);
        let channel = attributes.required('c')?;
        let nonce = attributes.required('r')?;
        attributes.extensions()?;
        if channel != &*self.channel {
            return Err(SaslError::Binding);
        }
        if nonce != &*self.nonce {
            return Err(SaslError::Nonce);
        }
        let proof = decode_32(proof).ok_or(SaslError::Malformed)?;
        let mut client_key = Zeroizing::new(signature(&self.stored, &self.so_far, without_proof));
        for (octet, proof) in client_key.iter_mut().zip(proof) {
            *octet ^= proof;
        }
        let stored: [u8; 32] = Sha256::digest(client_key.as_ref()).into();
        if !bool::from(stored.ct_eq(self.stored.as_ref())) {
            return Err(SaslError::Proof);
        }
        let signature = signature(&self.server, &self.so_far, without_proof);
        Ok(["v=", &STANDARD.encode(signature)].concat().into_bytes())
    }
}

//! The client's end. It does not believe that it is logged in before the server has proved that it knows
//! the password's keys, too.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{
    Attributes, END_POINT, SaslError, decode_32, encode_name, hmac_sha256, is_nonce, signature, split, text,
};
use crate::credential::Secret;
use crate::credential::password::salted;

/// A server that asks for less than RFC 7677 (4) has as the least may be after the password.
const LEAST_ITERATIONS: u32 = 4096;
/// More than this would keep a client busy for seconds: a server that asks for it means harm.
const MOST_ITERATIONS: u32 = 10_000_000;

/// What the client says of the channel (RFC 5802 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding<'a> {
    /// It has no channel to bind to.
    None,
    /// It has one, but the server has not offered PLUS.
    NotOffered,
    /// For PLUS: the `tls-server-end-point` of the server's certificate.
    EndPoint(&'a [u8]),
}

/// A login under way.
pub struct Client {
    password: Secret,
    /// `c=`, ready.
    channel: String,
    bare: String,
    nonce: String,
    state: State,
}

enum State {
    /// The server's challenge is to come.
    Started,
    /// The server's signature is, which must be this one.
    Responded(Zeroizing<[u8; 32]>),
    /// It has come.
    Verified,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// Begins; gives client-first. `nonce` is our part of the nonce ([`nonce`](super::nonce)).
    ///
    /// # Errors
    /// [`SaslError::Name`] for a user without a name.
    pub fn start(
        user: &str,
        password: Secret,
        nonce: &str,
        binding: Binding<'_>,
    ) -> Result<(Client, Vec<u8>), SaslError> {
        let user = encode_name(&crate::credential::sasl::prepare_name(user)?);
        let header = match binding {
            Binding::None => "n,,".to_owned(),
            Binding::NotOffered => "y,,".to_owned(),
            Binding::EndPoint(_) => format!("p={END_POINT},,"),
        };
        let data = if let Binding::EndPoint(data) = binding { data } else { &[] };
        let bare = format!("n={user},r={nonce}");
        let first = format!("{header}{bare}").into_bytes();
        let channel = STANDARD.encode([header.as_bytes(), data].concat());
        Ok((Client { password, channel, bare, nonce: nonce.to_owned(), state: State::Started }, first))
    }

    /// Answers a challenge of the server: to server-first gives client-final, at the cost of hashing the
    /// password; to server-final, where it comes as a challenge, nothing.
    ///
    /// # Errors
    /// [`SaslError`]: the exchange is to be aborted.
    pub fn respond(&mut self, challenge: &[u8]) -> Result<Vec<u8>, SaslError> {
        match &self.state {
            State::Started => self.prove(text(challenge)?),
            State::Responded(_) => self.verify(Some(challenge)).map(|()| Vec::new()),
            State::Verified => Err(SaslError::Malformed),
        }
    }

    fn prove(&mut self, challenge: &str) -> Result<Vec<u8>, SaslError> {
        let mut attributes = Attributes::of(challenge);
        let nonce = attributes.required('r')?;
        if !is_nonce(nonce) || !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(SaslError::Nonce);
        }
        let salt = STANDARD.decode(attributes.required('s')?).map_err(|_| SaslError::Malformed)?;
        let iterations = iterations(attributes.required('i')?)?;
        attributes.extensions()?;
        let salted = salted(self.password.expose(), &salt, iterations);
        let client_key = Zeroizing::new(hmac_sha256(salted.as_ref(), b"Client Key"));
        let server_key = Zeroizing::new(hmac_sha256(salted.as_ref(), b"Server Key"));
        let stored: [u8; 32] = Sha256::digest(client_key.as_ref()).into();
        let so_far = format!("{},{challenge},", self.bare);
        let without_proof = format!("c={},r={nonce}", self.channel);
        let mut proof = signature(&stored, &so_far, &without_proof);
        for (octet, key) in proof.iter_mut().zip(client_key.iter()) {
            *octet ^= key;
        }
        self.state = State::Responded(Zeroizing::new(signature(&server_key, &so_far, &without_proof)));
        Ok(format!("{without_proof},p={}", STANDARD.encode(proof)).into_bytes())
    }

    /// The server says that we are logged in, with server-final if that was not a challenge: is it the
    /// server that has our keys?
    ///
    /// # Errors
    /// [`SaslError::Server`] if it is not, whatever it says: the connection is to be closed.
    pub fn verify(&mut self, server_final: Option<&[u8]>) -> Result<(), SaslError> {
        match (&self.state, server_final) {
            (State::Verified, None | Some([])) => return Ok(()),
            (State::Responded(expected), Some(message)) => {
                let mut attributes = text(message)?.split(',');
                match attributes.next().and_then(split) {
                    Some(('v', signature)) => {
                        let signature = decode_32(signature).ok_or(SaslError::Malformed)?;
                        if !bool::from(signature.ct_eq(expected.as_ref())) {
                            return Err(SaslError::Server);
                        }
                    }
                    Some(('e', _)) => return Err(SaslError::Refused),
                    _ => return Err(SaslError::Malformed),
                }
            }
            _ => return Err(SaslError::Server),
        }
        self.state = State::Verified;
        Ok(())
    }
}

fn iterations(text: &str) -> Result<u32, SaslError> {
    if text.starts_with('0') || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(SaslError::Malformed);
    }
    // A number too long for its type is out of bounds as well.
    let number: Option<u32> = text.parse().ok();
    number.filter(|n| (LEAST_ITERATIONS..=MOST_ITERATIONS).contains(n)).ok_or(SaslError::Iterations)
}

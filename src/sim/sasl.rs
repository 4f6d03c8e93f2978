//! How a simulated client or server authenticates on a connection of IMTP or PITP: SCRAM-SHA-256 (RFC 5802),
//! with and without channel binding, PLAIN, EXTERNAL. Written from the RFCs, apart from the server's code.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use ring::pbkdf2::{self, PBKDF2_HMAC_SHA256};
use sha2::{Digest as _, Sha256};

use super::reader::Object;

/// What is known of somebody who authenticates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `SCRAM-SHA-256`, `SCRAM-SHA-256-PLUS`, `PLAIN`, `EXTERNAL`.
    pub mechanism: String,
    /// The user, or the domain that a server speaks for.
    pub user: String,
    /// His password.
    pub password: String,
    /// Our part of the nonce.
    pub nonce: String,
    /// What the channel is bound to.
    pub end_point: Vec<u8>,
}

/// An authentication under way, from the first list of mechanisms to the second.
#[derive(Debug)]
pub struct Entrance {
    credentials: Credentials,
    list: Option<String>,
    so_far: String,
    expected: Option<String>,
}

/// What comes of something heard.
#[derive(Debug)]
pub enum Next {
    /// This is to be sent.
    Say(Object),
    /// More is to come.
    Wait,
    /// We are in.
    In,
    /// We are not.
    Refused,
}

impl Entrance {
    /// Waits for the list of mechanisms.
    pub fn new(credentials: Credentials) -> Entrance {
        Entrance { credentials, list: None, so_far: String::new(), expected: None }
    }

    /// The acceptor has said something.
    pub fn heard(&mut self, object: &Object) -> Next {
        let body = object.get("body").unwrap_or_default();
        match (object.action(), &self.list) {
            ("mech", None) => {
                self.list = object.get("names").map(str::to_owned);
                Next::Say(self.begin())
            }
            // The same list again: only now is it over (COMMON-14.1-17, COMMON-14.1-18).
            ("mech", Some(list)) => {
                assert_eq!(object.get("names"), Some(list.as_str()), "the second list of mechanisms");
                assert_eq!(self.expected, None, "the server has proved itself");
                Next::In
            }
            ("error", Some(_)) if object.get("Error-Type") == Some("sasl-challenge") => {
                Next::Say(self.prove(body))
            }
            ("error", Some(_)) => Next::Refused,
            ("ok", Some(_)) => {
                let said = object.get("body").map(str::to_owned);
                assert_eq!(self.expected.take(), said, "what the server proves itself with");
                Next::Wait
            }
            _ => Next::Refused,
        }
    }

    fn begin(&mut self) -> Object {
        let Credentials { mechanism, user, password, nonce, .. } = &self.credentials;
        let initial = match mechanism.as_str() {
            "PLAIN" => format!("\0{user}\0{password}"),
            "EXTERNAL" => user.clone(),
            _ => {
                let name = user.replace('=', "=3D").replace(',', "=2C");
                self.so_far = format!("n={name},r={nonce}");
                format!("{}{}", self.header(), self.so_far)
            }
        };
        Object::new(&[("action", "auth"), ("request", "auth1"), ("Mechanism", mechanism), ("body", &initial)])
    }

    fn header(&self) -> &'static str {
        if self.credentials.mechanism.ends_with("-PLUS") { "p=tls-server-end-point,," } else { "n,," }
    }

    /// Client-final, and what server-final has to be.
    fn prove(&mut self, challenge: &str) -> Object {
        let of = |key: &str| challenge.split(',').find_map(|a| a.strip_prefix(key)).unwrap_or_default();
        let bound: &[u8] = if self.header() == "n,," { &[] } else { &self.credentials.end_point };
        let channel = STANDARD.encode([self.header().as_bytes(), bound].concat());
        let without_proof = format!("c={channel},r={}", of("r="));
        let signed = format!("{},{challenge},{without_proof}", self.so_far);
        let [client_key, server_key] = keys(&self.credentials.password, of("s="), of("i="));
        let stored: [u8; 32] = Sha256::digest(client_key).into();
        let signature = hmac(&stored, signed.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, octet)| key ^ octet).collect();
        self.expected = Some(format!("v={}", STANDARD.encode(hmac(&server_key, signed.as_bytes()))));
        let body = format!("{without_proof},p={}", STANDARD.encode(proof));
        Object::new(&[("action", "auth"), ("request", "auth2"), ("body", &body)])
    }
}

fn hmac(key: &[u8], octets: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key");
    mac.update(octets);
    mac.finalize().into_bytes().into()
}

/// Client key and server key. Made once for each password: a thousand seeds have the same few.
fn keys(password: &str, salt: &str, iterations: &str) -> [[u8; 32]; 2] {
    type Made = BTreeMap<[String; 3], [[u8; 32]; 2]>;
    static MADE: Mutex<Made> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let name = [password, salt, iterations].map(str::to_owned);
    *made.entry(name).or_insert_with(|| {
        let salt = STANDARD.decode(salt).expect("a salt");
        let count: NonZeroU32 = iterations.parse().expect("a number of iterations");
        let mut salted = [0; 32];
        pbkdf2::derive(PBKDF2_HMAC_SHA256, count, &salt, password.as_bytes(), &mut salted);
        [b"Client Key", b"Server Key"].map(|name| hmac(&salted, name))
    })
}

/// What a played server answers by itself to the server that connects to it: it takes every EXTERNAL for granted.
pub fn welcome(object: &Object) -> Option<[Object; 2]> {
    let id = object.get("request").filter(|_| object.action() == "auth")?;
    let granted = Object::new(&[("action", "ok"), ("response", id), ("method", "auth")]);
    Some([granted, greeting()])
}

/// The list of mechanisms of a played server.
pub fn greeting() -> Object {
    Object::new(&[("action", "mech"), ("names", "EXTERNAL")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exchange_of_rfc_7677() {
        // COMMON-14.1-8 COMMON-14.1-11 COMMON-14.1-13: the example of 8.3, from the initiator's side
        let mut entrance = Entrance::new(Credentials {
            mechanism: "SCRAM-SHA-256".to_owned(),
            user: "user".to_owned(),
            password: "pencil".to_owned(),
            nonce: "rOprNGfwEbeRWgbNEkqO".to_owned(),
            end_point: Vec::new(),
        });
        let mech = Object::new(&[("action", "mech"), ("names", "PLAIN SCRAM-SHA-256")]);
        let Next::Say(first) = entrance.heard(&mech) else { panic!("no answer") };
        assert_eq!(first.get("body"), Some("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"));
        let challenge =
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let error = [
            ("action", "error"),
            ("response", "auth1"),
            ("method", "auth"),
            ("Error-Type", "sasl-challenge"),
            ("body", challenge),
        ];
        let Next::Say(last) = entrance.heard(&Object::new(&error)) else { panic!("no answer") };
        let proof = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
            p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(last.get("body"), Some(proof));
        let done = [("action", "ok"), ("body", "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")];
        assert!(matches!(entrance.heard(&Object::new(&done)), Next::Wait));
        assert!(matches!(entrance.heard(&mech), Next::In));
    }
}

//! The first half of a login: `login` on a routing connection, answered by a challenge, from which the
//! ticket for the notification connection is made (SIMP-7.1).

use zeroize::Zeroizing;

use super::stream::{Reader, Said};
use super::{Account, Error, Proof};
use crate::credential::{Algorithm, Secret};
use crate::simp::command::{Challenge, Command, Reply, Version};
use crate::simp::write;

/// The only request of this connection: `"1"` in its reply.
const LOGIN: u64 = 1;

/// Admits to a notification connection once: where it is, and what proves who we are.
#[derive(Debug)]
pub struct Ticket {
    /// The host to connect to (SIMP-7.2-1).
    pub host: String,
    /// Its port.
    pub port: u16,
    pub(super) authorization: Zeroizing<String>,
    pub(super) opaque: String,
}

impl Ticket {
    /// Answers a challenge. `private`: nobody can listen in on the connection (TLS, loopback), so that
    /// the password itself may be given.
    pub(super) fn new(account: &Account, challenge: &Challenge<'_>, private: bool) -> Result<Ticket, Error> {
        let algorithm = Algorithm::parse(challenge.algorithm)
            .ok_or_else(|| Error::Server(format!("unknown digest algorithm {:?}", challenge.algorithm)))?;
        let secret: &Secret = match (account.proof(), algorithm) {
            (Proof::DeviceKey(key), Algorithm::Md5 | Algorithm::Sha256) => key,
            (Proof::Password(password), Algorithm::Plain) if private => password,
            (Proof::DeviceKey(_), Algorithm::Plain) | (Proof::Password(_), Algorithm::Plain) => {
                return Err(Error::Server("it asks for the password itself".into()));
            }
            (Proof::Password(_), _) => {
                return Err(Error::Refused(
                    "no passwords on this connection: use a device key, or TLS".into(),
                ));
            }
        };
        Ok(Ticket {
            host: challenge.host.to_owned(),
            port: challenge.port,
            authorization: algorithm.authorization(account.address(), secret.expose(), challenge.nonce),
            // Without any meaning to us: given back as it came (SIMP-7.1-7).
            opaque: challenge.opaque.to_owned(),
        })
    }
}

/// A routing connection that is used for a login.
#[derive(Debug)]
pub struct Login {
    account: Account,
    private: bool,
    reader: Reader,
    out: Vec<u8>,
}

impl Login {
    /// Begins. `private`: the connection is on TLS or loopback, so that a password may be given.
    pub fn new(account: Account, private: bool) -> Login {
        let algorithms = match account.proof() {
            Proof::DeviceKey(_) => "SHA-256 MD5",
            Proof::Password(_) => "PLAIN",
        };
        let mut out = write::HEADER.to_vec();
        write::login(&mut out, LOGIN, account.address(), Some(algorithms));
        Login { account, private, reader: Reader::default(), out }
    }

    /// Takes in octets from the connection; gives the ticket when the challenge has come.
    ///
    /// # Errors
    /// [`Error::Refused`] by the server, [`Error::Server`] if it breaks the protocol or has no version
    /// in common with us, [`Error::Ended`] if it ends its stream.
    pub fn receive(&mut self, data: &[u8]) -> Result<Option<Ticket>, Error> {
        self.reader.receive(data);
        while let Some(said) = self.reader.next()? {
            match said {
                Said::Command(Command::Reply { id: "1", reply }) => {
                    return replied(&self.account, self.private, reply).map(Some);
                }
                Said::Command(Command::Request { id, .. }) => {
                    // SIMP-11-1
                    write::error(&mut self.out, id, "unrecognized request");
                }
                Said::Malformed(malformed) => return Err(Error::Server(malformed.fault.to_string())),
                Said::Command(_) => {}
                Said::End => return Err(Error::Ended),
            }
        }
        Ok(None)
    }

    /// What waits to be written.
    pub fn unsent(&self) -> &[u8] {
        &self.out
    }

    /// The first `count` octets of it have been written.
    pub fn sent(&mut self, count: usize) {
        self.out.drain(..count.min(self.out.len()));
    }
}

/// What the server's answer to `login` means.
fn replied(account: &Account, private: bool, reply: Reply<'_>) -> Result<Ticket, Error> {
    match reply {
        Reply::Challenge { challenge, min_version, max_version } => {
            // SIMP-7.2-4: the version we are going to name lies in the range.
            if !(min_version..=max_version).contains(&Version::V1_0) {
                return Err(Error::Server("it does not speak SIMP 1.0".into()));
            }
            Ticket::new(account, &challenge, private)
        }
        Reply::Error { message } => Err(Error::Refused(message.to_owned())),
        _ => Err(Error::Server("'login' was answered by something else than a challenge".into())),
    }
}

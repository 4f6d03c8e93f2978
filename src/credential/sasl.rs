//! SASL (RFC 4422): the mechanisms by which IMTP and PITP connections say who they are, and the messages
//! of those that need but one. [`scram`](super::scram) has the others.
//!
//! Which mechanisms a connection offers is the protocol's business (TOC-18); what a name may do is the
//! node's. A message becomes typed values here, once.

use std::fmt;

use zeroize::Zeroizing;

use super::Secret;
use super::password::MAX_PASSWORD;
use crate::hub::address::Domain;

/// Longest message of a mechanism, in octets: names and nonces of any sense fit many times over.
pub const MAX_MESSAGE: usize = 4096;

/// A mechanism that hearth speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mechanism {
    /// RFC 7677 with channel binding: only on TLS.
    ScramPlus,
    /// RFC 7677.
    Scram,
    /// RFC 4616: the password in clear; only on TLS or loopback.
    Plain,
    /// RFC 4422 appendix A: a peer's certificate says it already.
    External,
}

impl Mechanism {
    /// All, the best first.
    pub const ALL: [Mechanism; 4] =
        [Mechanism::ScramPlus, Mechanism::Scram, Mechanism::Plain, Mechanism::External];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::ScramPlus => "SCRAM-SHA-256-PLUS",
            Mechanism::Scram => "SCRAM-SHA-256",
            Mechanism::Plain => "PLAIN",
            Mechanism::External => "EXTERNAL",
        }
    }

    /// From its name, exactly as registered (RFC 4422 3.1).
    pub fn parse(name: &str) -> Option<Mechanism> {
        Mechanism::ALL.into_iter().find(|mechanism| mechanism.name() == name)
    }
}

/// Why an exchange can't go on. Peers are told no more than [`code`](SaslError::code), if that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaslError {
    /// Not a message of the mechanism, or too long.
    Malformed,
    /// A name that is empty or wrongly encoded.
    Name,
    /// SCRAM: a mandatory extension, of which there are none (RFC 5802 5.1, `m`).
    Extension,
    /// SCRAM: the client believes that we offer no channel binding, but we do: somebody between us has
    /// changed the list of mechanisms (RFC 5802 6).
    Downgrade,
    /// SCRAM: the client's flag does not fit the mechanism that it chose.
    BindingFlag,
    /// SCRAM: a type of channel binding that we don't have.
    BindingType,
    /// SCRAM: the client is on another channel than we are.
    Binding,
    /// SCRAM: not the nonce of this exchange.
    Nonce,
    /// SCRAM: wrong password, or no such user.
    Proof,
    /// SCRAM, on the client's side: the server asks for less work than is safe, or more than is bearable.
    Iterations,
    /// SCRAM, on the client's side: the server doesn't know the password's keys, so it is not ours; or
    /// it says that it is done before it has shown that it does.
    Server,
    /// SCRAM, on the client's side: the server has refused us (`e=`).
    Refused,
}

impl SaslError {
    /// RFC 5802's `server-error-value`.
    pub fn code(self) -> &'static str {
        match self {
            SaslError::Malformed => "invalid-encoding",
            SaslError::Name => "invalid-username-encoding",
            SaslError::Extension => "extensions-not-supported",
            SaslError::Downgrade => "server-does-support-channel-binding",
            SaslError::BindingFlag => "channel-binding-not-supported",
            SaslError::BindingType => "unsupported-channel-binding-type",
            SaslError::Binding => "channel-bindings-dont-match",
            SaslError::Proof => "invalid-proof",
            SaslError::Nonce | SaslError::Iterations | SaslError::Server | SaslError::Refused => {
                "other-error"
            }
        }
    }
}

impl fmt::Display for SaslError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SaslError::Malformed => "the message is not one of this mechanism",
            SaslError::Name => "the name is empty or wrongly encoded",
            SaslError::Extension => "no mandatory extension is known here",
            SaslError::Downgrade => "channel binding is offered, and was hidden from the client",
            SaslError::BindingFlag => "the channel binding flag does not fit the mechanism",
            SaslError::BindingType => "of channel bindings only tls-server-end-point is known here",
            SaslError::Binding => "both ends see different channels",
            SaslError::Nonce => "not the nonce of this exchange",
            SaslError::Proof => "wrong name or password",
            SaslError::Iterations => "the server's iteration count is out of bounds",
            SaslError::Server => "the server has not proved that it knows the account",
            SaslError::Refused => "the server refused",
        })
    }
}

impl std::error::Error for SaslError {}

/// A name as RFC 4013 (SASLprep) has it; what that forbids is taken as it is, as with passwords.
pub(super) fn prepare_name(name: &str) -> Result<Box<str>, SaslError> {
    let prepared: Box<str> = match stringprep::saslprep(name) {
        Ok(prepared) => prepared.into(),
        Err(_) => name.into(),
    };
    if prepared.is_empty() { Err(SaslError::Name) } else { Ok(prepared) }
}

/// The one message of PLAIN (RFC 4616).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plain {
    /// Whom the client wants to act as, if it says so.
    pub authzid: Option<Box<str>>,
    /// Whose password it is.
    pub user: Box<str>,
    /// The password, for [`verify_argon2`](super::verify_argon2), which prepares it.
    pub password: Secret,
}

impl Plain {
    /// Reads `[authzid] NUL user NUL password`.
    ///
    /// # Errors
    /// [`SaslError::Malformed`], or [`SaslError::Name`] for a user without a name.
    pub fn parse(message: &[u8]) -> Result<Plain, SaslError> {
        if message.len() > MAX_MESSAGE {
            return Err(SaslError::Malformed);
        }
        let text = std::str::from_utf8(message).map_err(|_| SaslError::Malformed)?;
        let mut parts = text.split('\0');
        let (Some(authzid), Some(user), Some(password), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(SaslError::Malformed);
        };
        if password.is_empty() || password.len() > MAX_PASSWORD {
            return Err(SaslError::Malformed);
        }
        Ok(Plain {
            authzid: Some(authzid).filter(|id| !id.is_empty()).map(Box::from),
            user: prepare_name(user)?,
            password: Secret::new(password.to_owned()),
        })
    }

    /// The message, as a client sends it. A NUL in any part would be taken for an end.
    pub fn write(authzid: &str, user: &str, password: &Secret) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([authzid, "\0", user, "\0", password.expose()].concat().into_bytes())
    }
}

/// Reads the one message of EXTERNAL as a server sends it: the domain that it wants to speak for (TOC-19),
/// to be held against its certificate.
///
/// # Errors
/// [`SaslError::Malformed`] if it is not UTF-8, [`SaslError::Name`] if it names no domain.
pub fn external(message: &[u8]) -> Result<Domain, SaslError> {
    if message.len() > MAX_MESSAGE {
        return Err(SaslError::Malformed);
    }
    let text = std::str::from_utf8(message).map_err(|_| SaslError::Malformed)?;
    Domain::parse(text).map_err(|_| SaslError::Name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn mechanisms_have_their_registered_names() {
        // TOC-18, RFC 7677 2, RFC 4422 3.1
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::parse(mechanism.name()), Some(mechanism));
            assert!(mechanism.name().len() <= 20);
        }
        assert_eq!(Mechanism::parse("SCRAM-SHA-256-PLUS"), Some(Mechanism::ScramPlus));
        for other in ["", "plain", "ANONYMOUS", "SCRAM-SHA-1"] {
            assert_eq!(Mechanism::parse(other), None);
        }
    }

    #[test]
    fn plain_has_three_parts() {
        // RFC 4616 2, 4
        let plain = Plain::parse(b"\0user\0pencil").unwrap();
        assert_eq!((plain.authzid, &*plain.user, plain.password.expose()), (None, "user", "pencil"));
        assert_eq!(**Plain::write("", "user", &Secret::new("pencil".to_owned())), *b"\0user\0pencil");
        let other = Plain::parse(b"Ursel\0Kurt\0xipj3plmq").unwrap();
        assert_eq!((other.authzid.as_deref(), &*other.user), (Some("Ursel"), "Kurt"));
        // The name is prepared, and is not seen in the log together with the password.
        let soft = Plain::parse("\0I\u{ad}X\0pencil".as_bytes()).unwrap();
        assert_eq!(&*soft.user, "IX");
        assert!(!format!("{soft:?}").contains("pencil"));
    }

    #[test]
    fn what_is_not_plain_is_refused() {
        // RFC 4616 2
        for bad in [&b""[..], b"user", b"\0user", b"\0user\0", b"\0user\0pen\0cil", b"\0\xff\0pencil"] {
            assert_eq!(Plain::parse(bad), Err(SaslError::Malformed), "{bad:?}");
        }
        assert_eq!(Plain::parse(b"a\0\0pencil"), Err(SaslError::Name));
        assert_eq!(Plain::parse("\0\u{ad}\0pencil".as_bytes()), Err(SaslError::Name));
        let long = [b"\0user\0".as_slice(), &[b'x'; 1025]].concat();
        assert_eq!(Plain::parse(&long), Err(SaslError::Malformed));
        assert_eq!(Plain::parse(&[b'x'; 5000]), Err(SaslError::Malformed));
    }

    #[test]
    fn external_names_a_domain() {
        // RFC 4422 A, TOC-19: it must be present
        assert_eq!(external(b"B.Test").unwrap().as_str(), "b.test");
        for bad in [&b""[..], b"alice@b.test", b"b.test\0", b"b test", b".", &[b'x'; 300]] {
            assert_eq!(external(bad), Err(SaslError::Name), "{bad:?}");
        }
        assert_eq!(external(b"b\xff.test"), Err(SaslError::Malformed));
        assert_eq!(external(&[b'x'; 5000]), Err(SaslError::Malformed));
    }
}

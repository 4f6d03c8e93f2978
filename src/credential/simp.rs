//! The `authorization` of a SIMP `connect`: a digest with a device key, or the password itself.
//!
//! The server names the algorithm in its challenge; the client answers with the Base64 form of a digest
//! over user name, secret and nonce joined by colons (SIMP-7.1-4 to 7.1-6), or, for our extension
//! `PLAIN`, with the Base64 form of that text itself.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use super::Secret;

/// What makes an `authorization` out of user name, secret and nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Of SIMP 1.0: what stock clients know. With device keys only.
    Md5,
    /// OC-12. With device keys only.
    Sha256,
    /// Our extension: the account's password in clear; only on TLS or loopback.
    Plain,
}

impl Algorithm {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
            Algorithm::Plain => "PLAIN",
        }
    }

    /// From its name, in any case; empty means MD5 (OC-12, SIMP-7.1-5).
    pub fn parse(name: &str) -> Option<Algorithm> {
        if name.is_empty() {
            return Some(Algorithm::Md5);
        }
        [Algorithm::Md5, Algorithm::Sha256, Algorithm::Plain]
            .into_iter()
            .find(|a| a.name().eq_ignore_ascii_case(name))
    }

    /// The `authorization` that proves knowledge of the secret: the client's side.
    pub fn authorization(self, user: &str, secret: &str, nonce: &str) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(digest(self, user, secret, nonce)))
    }
}

/// The octets whose Base64 form is the `authorization`: 16 for MD5, 32 for SHA-256, and the text itself
/// for PLAIN. Strings are taken as they are, in UTF-8 (OC-13).
pub fn digest(algorithm: Algorithm, user: &str, secret: &str, nonce: &str) -> Zeroizing<Vec<u8>> {
    let parts = [user, ":", secret, ":", nonce];
    Zeroizing::new(match algorithm {
        Algorithm::Md5 => hash::<Md5>(parts),
        Algorithm::Sha256 => hash::<Sha256>(parts),
        Algorithm::Plain => parts.concat().into_bytes(),
    })
}

fn hash<D: Digest>(parts: [&str; 5]) -> Vec<u8> {
    parts.iter().fold(D::new(), |hash, part| hash.chain_update(part)).finalize().to_vec()
}

/// Is the `authorization` a digest with one of the secrets? All of them are tried, and one when there
/// are none, so that time tells neither which one fits nor whether the user exists (OC-15). Base64 is
/// read strictly: padded, no line breaks, no stray bits (OC-13). Never true for [`Algorithm::Plain`].
pub fn check_digest<'a>(
    algorithm: Algorithm,
    user: &str,
    secrets: impl IntoIterator<Item = &'a Secret>,
    nonce: &str,
    authorization: &str,
) -> bool {
    let length = match algorithm {
        Algorithm::Md5 => 16,
        Algorithm::Sha256 => 32,
        Algorithm::Plain => return false,
    };
    let given = match STANDARD.decode(authorization) {
        Ok(given) if given.len() == length => given,
        _ => return false,
    };
    let fits = |secret: &str| digest(algorithm, user, secret, nonce).ct_eq(given.as_slice());
    let decoy = fits("") & Choice::from(0);
    secrets.into_iter().fold(decoy, |found, secret| found | fits(secret.expose())).into()
}

/// The password in the `authorization` of [`Algorithm::Plain`]: Base64 (strict) of
/// `user:password:nonce`, where user and nonce are those of the challenge. None if they are not.
pub fn open_plain(authorization: &str, user: &str, nonce: &str) -> Option<Secret> {
    let text = Zeroizing::new(STANDARD.decode(authorization).ok()?);
    let text = std::str::from_utf8(&text).ok()?;
    let password = text.strip_prefix(user)?.strip_prefix(':')?.strip_suffix(nonce)?.strip_suffix(':')?;
    Some(Secret::new(password.to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    const NONCE: &str = "7f3a9c51e0b24d68";
    /// D1 to D6: algorithm, user, secret, nonce, authorization.
    const EXAMPLES: [(Algorithm, &str, &str, &str, &str); 6] = [
        (Algorithm::Md5, "alice", "correct horse", NONCE, "OZj9/qxoYz93hRSA3X/2yg=="),
        (Algorithm::Md5, "alice", "correct horse", "c0ffee00d15ea5e5", "63gHr08vGq/BwVIZ/gpFZw=="),
        (Algorithm::Md5, "bob", "a:b", "n:1", "UuueofQS5hqEecrdVUdcqw=="),
        (Algorithm::Md5, "zo\u{eb}", "p\u{e2}ss w\u{f6}rd", "42", "Bxy2q4T7Z5CSI9PgfaBfkQ=="),
        (Algorithm::Md5, "alice@example.org", "correct horse", NONCE, "8xW2YbOcfa+GXXrrFlEgSQ=="),
        (Algorithm::Sha256, "alice", "correct horse", NONCE, "jT2nW4q37pxY0C/KYyjvCyeErs4u1dT0K54k6mZZqtg="),
    ];

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    #[test]
    fn digests_are_those_of_the_examples() {
        // SIMP-7.1-4, SIMP-7.1-5, SIMP-7.1-6, OC-11, OC-12, OC-13: D1 to D6
        for (algorithm, user, password, nonce, expected) in EXAMPLES {
            assert_eq!(*algorithm.authorization(user, password, nonce), expected);
            let secrets = [secret("another"), secret(password), secret("third")];
            assert!(check_digest(algorithm, user, &secrets, nonce, expected));
            assert!(!check_digest(algorithm, user, &secrets[..1], nonce, expected));
            assert!(!check_digest(algorithm, user, &secrets, "other", expected));
            assert!(!check_digest(algorithm, "mallory", &secrets, nonce, expected));
        }
    }

    #[test]
    fn hex_and_loose_base64_fail() {
        // OC-13, SIMP-7.1-6
        let secrets = [secret("correct horse")];
        let check = |text: &str| check_digest(Algorithm::Md5, "alice", &secrets, NONCE, text);
        assert!(check("OZj9/qxoYz93hRSA3X/2yg=="));
        for bad in [
            "",
            "OZj9/qxoYz93hRSA3X/2yg",
            "OZj9/qxoYz93hRSA3X/2yg=",
            "OZj9/qxoYz93hRSA3X/2yg==\n",
            " OZj9/qxoYz93hRSA3X/2yg==",
            "OZj9/qxoYz93hRSA\r\n3X/2yg==",
            "OZj9_qxoYz93hRSA3X_2yg==",
            "OZj9/qxoYz93hRSA3X/2yh==",
            "OZj9/qxoYz93hRSA3X/2",
            "3998fdfeac68633f77851480dd7ff6ca",
            "Mzk5OGZkZmVhYzY4NjMzZjc3ODUxNDgwZGQ3ZmY2Y2E=",
        ] {
            assert!(!check(bad), "{bad:?}");
        }
    }

    #[test]
    fn nobody_is_nobody() {
        // OC-15: no secrets, no way in; not with the empty secret either.
        let empty = Algorithm::Md5.authorization("eve", "", NONCE);
        assert!(!check_digest(Algorithm::Md5, "eve", &[], NONCE, &empty));
        let plain = Algorithm::Plain.authorization("alice", "correct horse", NONCE);
        assert!(!check_digest(Algorithm::Plain, "alice", &[secret("correct horse")], NONCE, &plain));
    }

    #[test]
    fn plain_gives_the_password_and_nothing_else() {
        let open =
            |text: &str| open_plain(&STANDARD.encode(text), "al:ice", "n:1").map(|s| s.expose().to_owned());
        assert_eq!(open("al:ice:pass:word:n:1").as_deref(), Some("pass:word"));
        assert_eq!(open("al:ice::n:1").as_deref(), Some(""));
        assert_eq!(open("al:ice:n:1"), None);
        assert_eq!(open("bob:pass:n:1"), None);
        assert_eq!(open("al:ice:pass:n:2"), None);
        assert!(open_plain("%%%", "al:ice", "n:1").is_none());
        assert!(open_plain(&STANDARD.encode(b"al:ice:\xff:n:1"), "al:ice", "n:1").is_none());
        let made = Algorithm::Plain.authorization("al:ice", "p\u{e2}ss", "n:1");
        assert_eq!(open_plain(&made, "al:ice", "n:1").unwrap().expose(), "p\u{e2}ss");
    }

    #[test]
    fn names_are_compared_without_case() {
        // OC-12
        assert_eq!(Algorithm::parse("md5"), Some(Algorithm::Md5));
        assert_eq!(Algorithm::parse(""), Some(Algorithm::Md5));
        assert_eq!(Algorithm::parse("sha-256"), Some(Algorithm::Sha256));
        assert_eq!(Algorithm::parse("Plain"), Some(Algorithm::Plain));
        assert_eq!(Algorithm::parse("SHA256"), None);
        assert_eq!(Algorithm::parse("MD5 "), None);
    }

    #[test]
    fn secrets_are_not_printed() {
        let opened = open_plain(&STANDARD.encode("u:hush:n"), "u", "n").unwrap();
        assert_eq!(format!("{opened:?}"), "(secret)");
    }
}

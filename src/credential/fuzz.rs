//! Entry points for fuzzing what logins consist of: each takes any octets and panics if a promise is broken.

use super::sasl::{self, Plain};
use super::scram::{self, Binding, ClientFirst, Keys};
use super::{Algorithm, Cost, PasswordRecord, Secret, check_digest, open_plain};
use crate::fuzz::script;

const PASSWORD: &str = "pencil";

/// A record of the least cost, made once.
fn record() -> &'static PasswordRecord {
    static RECORD: std::sync::OnceLock<PasswordRecord> = std::sync::OnceLock::new();
    RECORD.get_or_init(|| {
        let made = PasswordRecord::with_cost(PASSWORD, *b"salts of those who are simulated", Cost::LEAST);
        made.unwrap_or_else(|_| PasswordRecord {
            argon2: String::new(),
            scram_salt: String::new(),
            scram_iterations: 0,
            scram_stored_key: String::new(),
            scram_server_key: String::new(),
        })
    })
}

/// The messages of clients, as a script: `p` PLAIN, `e` EXTERNAL, `s` and `t` SCRAM's first message without and with
/// channel binding, `f` its last one, `d` a digest of SIMP, `o` SIMP's PLAIN. Nobody comes in who does not know the
/// password.
pub fn server(data: &[u8]) {
    let mut exchange = None;
    for (op, with) in script(data).take(20) {
        match op {
            b'p' => {
                if let Ok(plain) = Plain::parse(with) {
                    let again =
                        Plain::write(plain.authzid.as_deref().unwrap_or(""), &plain.user, &plain.password);
                    let again = Plain::parse(&again);
                    assert_eq!(again.map(|again| again.authzid), Ok(plain.authzid), "written and read");
                }
            }
            b'e' => {
                if let Ok(domain) = sasl::external(with) {
                    assert_eq!(sasl::external(domain.as_str().as_bytes()), Ok(domain));
                }
            }
            b's' | b't' => {
                let plus = op == b't';
                let binding = plus.then_some(&b"end point"[..]);
                exchange = ClientFirst::parse(with, plus, binding).ok().and_then(|first| {
                    let keys = Keys::of(record())?;
                    assert!(!first.user.is_empty());
                    let (exchange, challenge) = first.challenge(&keys, "nonce of the server");
                    assert!(challenge.starts_with(b"r=") && challenge.is_ascii());
                    Some(exchange)
                });
            }
            b'f' => {
                if let Some(exchange) = &exchange {
                    assert!(exchange.answer(with).is_err(), "nobody can know the proof");
                }
            }
            b'd' => {
                let authorization = String::from_utf8_lossy(with);
                for algorithm in [Algorithm::Md5, Algorithm::Sha256, Algorithm::Plain] {
                    let keys = [Secret::new("a key that nobody knows".to_owned())];
                    assert!(!check_digest(algorithm, "alice", &keys, "nonce", &authorization));
                }
            }
            b'o' => {
                let authorization = String::from_utf8_lossy(with);
                if let Some(password) = open_plain(&authorization, "alice", "nonce") {
                    let again = Algorithm::Plain.authorization("alice", password.expose(), "nonce");
                    assert_eq!(*again, authorization, "there is one way to write it");
                }
            }
            _ => {}
        }
    }
}

/// The messages of a server that may be anybody's: the client's end never takes it for its own, whatever it says,
/// and never works for long.
pub fn client(data: &[u8]) {
    if costs_seconds(data) {
        return;
    }
    let bindings = [Binding::None, Binding::NotOffered, Binding::EndPoint(b"end point")];
    let Some((first, data)) = data.split_first() else { return };
    let Some(binding) = bindings.get(usize::from(*first) % bindings.len()) else { return };
    let secret = Secret::new("a password that nobody knows".to_owned());
    let Ok((mut client, _)) = scram::Client::start("alice", secret, "fyko+d2lbbFgONRv9qkxdawL", *binding)
    else {
        return;
    };
    let mut responded = false;
    for (op, with) in script(data).take(6) {
        match op {
            b'c' => {
                let answer = client.respond(with);
                assert!(!(responded && answer.is_ok()), "it does not know the keys");
                responded |= answer.is_ok();
            }
            b'v' => assert!(client.verify(Some(with)).is_err()),
            _ => assert!(client.verify(None).is_err()),
        }
    }
}

/// Does a challenge ask for more hashing than a fuzzer has time for? Up to ten million rounds are allowed.
pub(crate) fn costs_seconds(data: &[u8]) -> bool {
    let long = |at: &[u8]| at.iter().take_while(|octet| octet.is_ascii_digit()).count() > 5;
    memchr::memmem::find_iter(data, b"i=").any(|at| data.get(at + 2..).is_some_and(long))
}

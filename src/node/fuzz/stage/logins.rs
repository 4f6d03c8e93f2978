//! Users who log in by the client library: what no fuzzer can make up.

use super::{HOME, Stage, USERS};
use crate::client::transfer::{Channel, Login, Service, Session, imtp::Imtp};
use crate::client::{self, Account, Proof};
use crate::credential::{Secret, sasl::Plain};
use crate::imtp::command::{Auth, Command};
use crate::imtp::write;

/// Turns until a login is over, one way or another.
const TURNS: usize = 8;

impl Stage {
    /// A user logs in, or tries to with a wrong password. Where answers are late, he may be left half-way.
    pub(super) fn log_in(&mut self, kind: u8, who: u8) {
        let Some(user) = USERS.get(usize::from(who) % USERS.len()) else { return };
        let secret = Secret::new(if who & 4 == 0 { (*user).to_owned() } else { "wrong".to_owned() });
        let proof = if kind.is_multiple_of(5) { Proof::DeviceKey(secret) } else { Proof::Password(secret) };
        let Ok(account) = Account::new(&format!("{user}@{HOME}"), proof) else { return };
        match kind % 5 {
            0 | 1 => self.log_in_by_simp(account),
            2 => self.log_in_in_clear(3, user, &account),
            3 => self.log_in_in_clear(4, user, &account),
            _ => {
                let tls = Channel::Tls(Some(Box::from(&b"end point"[..])));
                self.log_in_by_transfer::<Imtp>(2, &account, tls);
            }
        }
    }

    fn log_in_by_simp(&mut self, account: Account) {
        if !self.begin(0, 0) {
            return;
        }
        let mut login = client::Login::new(account.clone(), true);
        let mut ticket = None;
        for _ in 0..TURNS {
            let heard = self.exchange(login.unsent());
            login.sent(usize::MAX);
            match login.receive(&heard) {
                Ok(None) => {}
                Ok(Some(found)) => {
                    ticket = Some(found);
                    break;
                }
                Err(_) => break,
            }
        }
        let Some(ticket) = ticket else { return };
        if !self.begin(1, 0) {
            return;
        }
        let mut session = client::Session::new(account, &ticket, true);
        for _ in 0..2 {
            let heard = self.exchange(session.unsent());
            session.sent(usize::MAX);
            if session.receive(&heard).is_err() {
                return;
            }
        }
    }

    /// By PLAIN, since a fuzzer has no time for SCRAM's hashing.
    fn log_in_in_clear(&mut self, listener: u8, user: &str, account: &Account) {
        let Proof::Password(password) = account.proof() else { return };
        if !self.begin(listener, 0) {
            return;
        }
        let initial = Plain::write("", user, password);
        let auth = Command::Auth(Auth::Begin { mechanism: "PLAIN", initial: Some(&initial) });
        let mut said = Vec::new();
        write::command(&mut said, 1, &auth, &write::Relayed::default());
        self.exchange(&said);
    }

    fn log_in_by_transfer<S: Service>(&mut self, listener: u8, account: &Account, channel: Channel) {
        // On the port of all IMTP is chosen.
        if !self.begin(listener, 1) {
            return;
        }
        let Ok(login) = Login::new(account, channel, [9; 18]) else { return };
        let mut session = Session::<S>::new(login);
        for _ in 0..TURNS {
            let heard = self.exchange(session.unsent());
            session.sent(usize::MAX);
            if session.receive(&heard).is_err() || session.is_ready() {
                return;
            }
        }
    }

    /// Connects; false if that was refused.
    fn begin(&mut self, listener: u8, protocol: u8) -> bool {
        let before = self.generation;
        self.open(listener, 0, protocol, 0);
        let open = self.generation != before;
        if open {
            self.peer(|peer| peer.heard = Some(Vec::new()));
        }
        open
    }

    /// Says this, and hears what comes of it.
    fn exchange(&mut self, say: &[u8]) -> Vec<u8> {
        self.peer(|peer| peer.inbox.extend_from_slice(say));
        self.pump();
        let heard = self.current().and_then(|peer| peer.heard.as_mut()).map(std::mem::take);
        heard.unwrap_or_default()
    }
}

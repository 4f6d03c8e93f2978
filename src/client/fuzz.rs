//! Entry points for fuzzing the client library against servers that may say anything: each takes any octets, as a
//! script, and panics if a promise is broken. The steps: `b` the server says this, `r` the program asks
//! something, `a` it answers a message, `e` the connection is gone.

use super::transfer::{self, Channel, Service, imtp::Imtp, pitp::Pitp};
use super::{Account, Event, Login, Message, Proof, Session, Ticket};
use crate::credential::Secret;
use crate::fuzz::script;

/// Octets that a client owes at most for what one script can make it say.
const MOST: usize = 1 << 20;

fn account(proof: fn(Secret) -> Proof) -> Option<Account> {
    Account::new("alice@a.test", proof(Secret::new("secret".to_owned()))).ok()
}

/// SIMP: a login, then a session if the server lets us in. Every request of the program's is answered once.
pub fn simp(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    let proof = if kind & 1 == 0 { Proof::DeviceKey } else { Proof::Password };
    let (Some(account), private) = (account(proof), kind & 2 == 0) else { return };
    let mut steps = script(data).take(100);
    let mut login = Login::new(account.clone(), private);
    let mut ticket: Option<Ticket> = None;
    for (_, said) in steps.by_ref().take_while(|(op, _)| *op == b'b') {
        match login.receive(said) {
            Ok(Some(found)) => {
                ticket = Some(found);
                break;
            }
            Ok(None) => {}
            Err(_) => return,
        }
        assert!(login.unsent().len() <= MOST);
    }
    let Some(ticket) = ticket else { return };
    assert!(private || kind & 1 == 0, "a password is for private connections");
    let mut session = Session::new(account, &ticket, private);
    let (mut asked, mut answered, mut messages) = (0, 0, Vec::new());
    for (op, with) in steps.chain([(b'e', &b""[..])]) {
        let to = String::from_utf8_lossy(with).into_owned();
        match op {
            b'b' => {
                if session.receive(with).is_err() {
                    session.closed();
                }
            }
            b'r' => {
                let message = Message {
                    to: to.clone(),
                    reply_to: None,
                    content_type: "text/plain".to_owned(),
                    body: "hello".to_owned(),
                };
                asked += [session.fetch(&to), session.subscribe(&to, -1), session.send(&message)]
                    .into_iter()
                    .filter(Result::is_ok)
                    .count();
                session.get_profile();
                session.get_acl();
                asked += 2;
            }
            b'a' => {
                if let Some(id) = messages.pop() {
                    session.okay(id, &to);
                }
            }
            _ => session.closed(),
        }
        while let Some(event) = session.poll_event() {
            match event {
                Event::Replied { .. } => answered += 1,
                Event::Message { id, .. } => messages.push(id),
                _ => {}
            }
        }
        assert!(answered <= asked && session.unsent().len() <= MOST);
        session.sent(usize::MAX);
    }
    assert_eq!(answered, asked, "every request has its answer in the end");
}

/// IMTP.
pub fn imtp(data: &[u8]) {
    transfer::<Imtp>(data, |session, to| {
        let asked = [session.send(to, &transfer::Body::plain("hello")), session.listen(&[], &[to])];
        asked.into_iter().filter(Result::is_ok).count()
    });
}

/// PITP.
pub fn pitp(data: &[u8]) {
    transfer::<Pitp>(data, |session, to| {
        let asked = [session.fetch(to), session.subscribe(to), session.start_wi()];
        asked.into_iter().filter(Result::is_ok).count()
    });
}

fn transfer<S: Service>(data: &[u8], ask: impl Fn(&mut transfer::Session<S>, &str) -> usize) {
    let Some((kind, data)) = data.split_first() else { return };
    if crate::credential::fuzz::costs_seconds(data) {
        return;
    }
    let channel = match kind % 3 {
        0 => Channel::Loopback,
        1 => Channel::Clear,
        _ => Channel::Tls(Some(Box::from(&b"end point"[..]))),
    };
    let Some(account) = account(Proof::Password) else { return };
    let Ok(login) = transfer::Login::new(&account, channel.clone(), [9; 18]) else { return };
    let mut session = transfer::Session::<S>::new(login);
    let (mut asked, mut answered) = (0, 0);
    for (op, with) in script(data).take(100).chain([(b'e', &b""[..])]) {
        match op {
            b'b' if session.receive(with).is_err() => session.closed(),
            b'r' if session.is_ready() => asked += ask(&mut session, &String::from_utf8_lossy(with)),
            b'e' => session.closed(),
            _ => {}
        }
        while let Some(event) = session.poll_event() {
            answered += usize::from(matches!(event, transfer::Event::Replied { .. }));
        }
        assert!(answered <= asked && session.unsent().len() <= MOST);
        let exposed =
            channel == Channel::Clear && memchr::memmem::find(session.unsent(), b"\0secret").is_some();
        assert!(!exposed, "no password in clear over a network");
        session.sent(usize::MAX);
    }
    assert_eq!(answered, asked, "every request has its answer in the end");
}

//! The state machines against recorded conversations.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::credential::Secret;

const HEADER: &str = "<?xml version=\"1.0\"?>\n<stream>\n";

fn alice() -> Account {
    Account::new("alice@example.org", Proof::DeviceKey(Secret::new("correct horse".into()))).unwrap()
}

fn object(entries: &[(&str, &str)]) -> String {
    let mut out = Vec::new();
    crate::simp::write::object(&mut out, entries.iter().copied());
    String::from_utf8(out).unwrap()
}

fn challenge(changed: &[(&str, &str)]) -> String {
    let mut entries = vec![
        ("action", "challenge"),
        ("response", "1"),
        ("nonce", "7f3a9c51e0b24d68"),
        ("opaque", "s-41d0"),
        ("algorithm", "MD5"),
        ("min version", "1.0"),
        ("max version", "1.0"),
        ("host", "im.example.org"),
        ("port", "7468"),
    ];
    for (key, value) in changed {
        entries.iter_mut().find(|(k, _)| k == key).unwrap().1 = value;
    }
    HEADER.to_owned() + &object(&entries)
}

fn ticket(account: Account, private: bool, changed: &[(&str, &str)]) -> Result<Ticket, Error> {
    Login::new(account, private).receive(challenge(changed).as_bytes()).map(|t| t.expect("a ticket"))
}

/// What the session has written since the last call.
fn written(session: &mut Session) -> String {
    let text = String::from_utf8(session.unsent().to_vec()).unwrap();
    session.sent(text.len());
    text
}

fn hear(session: &mut Session, text: &str) -> Vec<Event> {
    session.receive(text.as_bytes()).unwrap();
    std::iter::from_fn(|| session.poll_event()).collect()
}

/// A session that is online, with nothing left to write.
fn online() -> Session {
    let ticket = ticket(alice(), false, &[]).unwrap();
    let mut session = Session::new(alice(), &ticket, false);
    written(&mut session);
    let own = object(&[("action", "self"), ("response", "1"), ("message", "Alice, R&D")]);
    let events = hear(&mut session, &(HEADER.to_owned() + &own));
    let [Event::Connected { profile }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(profile, &[("message".to_owned(), "Alice, R&D".to_owned())]);
    session
}

#[test]
fn login_is_a_request_on_the_routing_connection() {
    // SIMP-7.1-1, SIMP-3.5-2
    let login = Login::new(alice(), false);
    let expected = object(&[
        ("action", "login"),
        ("request", "1"),
        ("user", "alice@example.org"),
        ("algorithms", "SHA-256 MD5"),
    ]);
    assert_eq!(login.unsent(), (HEADER.to_owned() + &expected).as_bytes());
}

#[test]
fn the_challenge_is_answered_where_it_says_with_what_it_gave() {
    // SIMP-7.2-1, SIMP-7.2-3, SIMP-7.1-4 to 7.1-6; the digest is D5 of the catalogue.
    let ticket = ticket(alice(), false, &[]).unwrap();
    assert_eq!((ticket.host.as_str(), ticket.port), ("im.example.org", 7468));
    let session = Session::new(alice(), &ticket, false);
    let expected = object(&[
        ("action", "connect"),
        ("request", "1"),
        ("authorization", "8xW2YbOcfa+GXXrrFlEgSQ=="),
        ("opaque", "s-41d0"),
        ("version", "1.0"),
    ]);
    assert_eq!(session.unsent(), (HEADER.to_owned() + &expected).as_bytes());
}

#[test]
fn nonce_and_opaque_are_any_strings() {
    // SIMP-7.1-7
    let odd = " <&>\"'\u{e9}\n@; ";
    let ticket = ticket(alice(), false, &[("nonce", "n:1"), ("opaque", odd)]).unwrap();
    let session = Session::new(alice(), &ticket, false);
    let escaped = object(&[("opaque", odd)]);
    let entry = escaped.strip_prefix("<properties>").unwrap().strip_suffix("</properties>\n").unwrap();
    assert!(std::str::from_utf8(session.unsent()).unwrap().contains(entry));
}

#[test]
fn the_version_must_lie_in_the_servers_range() {
    // SIMP-7.2-4
    assert!(ticket(alice(), false, &[("min version", "0.9"), ("max version", "1.10")]).is_ok());
    let newer = ticket(alice(), false, &[("min version", "1.1"), ("max version", "2.0")]);
    assert!(matches!(newer, Err(Error::Server(_))), "{newer:?}");
}

#[test]
fn a_password_goes_only_where_nobody_listens_in_and_only_if_asked_for() {
    let account = || Account::new("alice@example.org", Proof::Password(Secret::new("pw".into()))).unwrap();
    let plain = &[("algorithm", "plain")];
    assert!(ticket(account(), true, plain).is_ok());
    assert!(matches!(ticket(account(), false, plain), Err(Error::Server(_))));
    // Never as a digest, which could be guessed from; and a device key never in clear.
    assert!(matches!(ticket(account(), true, &[]), Err(Error::Refused(_))));
    assert!(matches!(ticket(alice(), true, plain), Err(Error::Server(_))));
}

#[test]
fn a_refused_login_says_why() {
    let refused = object(&[("action", "error"), ("response", "1"), ("message", "too many requests")]);
    let result = Login::new(alice(), false).receive((HEADER.to_owned() + &refused).as_bytes());
    assert!(matches!(result, Err(Error::Refused(text)) if text == "too many requests"));

    let mut session = Session::new(alice(), &ticket(alice(), false, &[]).unwrap(), false);
    let refused = object(&[("action", "error"), ("response", "1"), ("message", "authentication failed")]);
    let result = session.receive((HEADER.to_owned() + &refused).as_bytes());
    assert!(matches!(result, Err(Error::Refused(text)) if text == "authentication failed"));
}

#[test]
fn replies_are_matched_in_any_order() {
    // SIMP-3.6-3, SIMP-3.6-4: part 2.5 (b) of the catalogue.
    let mut session = online();
    let message = Message {
        to: "bob@example.net".into(),
        reply_to: Some("team@example.org".into()),
        content_type: "text/plain".into(),
        body: "3 < 4 & lunch?".into(),
    };
    let send = session.send(&message).unwrap();
    let acl = session.get_acl();
    let text = written(&mut session);
    // SIMP-5.1-1, SIMP-5.1-4, SIMP-5.1-5
    assert!(text.starts_with(
        "<properties><entry key=\"action\">send</entry><entry key=\"request\">2</entry>\
         <entry key=\"to\">bob@example.net</entry><entry key=\"from\">alice@example.org</entry>\
         <entry key=\"reply to\">team@example.org</entry><entry key=\"type\">text/plain</entry>\
         <entry key=\"body\">3 &lt; 4 &amp; lunch?</entry></properties>\n"
    ));
    let events = hear(
        &mut session,
        "<properties><entry key=\"action\">self</entry><entry key=\"response\">3</entry>\
         <entry key=\"everybody\">send change end</entry></properties>\n\
         <properties><entry key='action'>okay</entry><entry key='response'>2</entry>\
         <entry key='message'>delivered</entry></properties>",
    );
    let [Event::Replied { id: first, outcome: a }, Event::Replied { id: second, outcome: b }] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!((*first, *second), (acl, send));
    let list = vec![("everybody".to_owned(), "send change end".to_owned())];
    assert_eq!(a.as_ref().unwrap(), &Answer::Entries(list));
    assert_eq!(b.as_ref().unwrap(), &Answer::Okay("delivered".into()));
}

#[test]
fn replies_for_nobody_and_of_the_wrong_kind_do_no_harm() {
    let mut session = online();
    let fetch = session.fetch("bob@example.net").unwrap();
    // OC-61
    let stray = object(&[("action", "okay"), ("response", "99"), ("message", "")]);
    assert!(hear(&mut session, &stray).is_empty());
    let okay = object(&[("action", "okay"), ("response", "2"), ("message", "")]);
    let events = hear(&mut session, &okay);
    assert!(
        matches!(&events[..], [Event::Replied { id, outcome: Err(Error::Server(_)) }] if *id == fetch),
        "{events:?}"
    );
    // A reply that lacks what it must have has failed the request.
    let inquiry = session.inquire("bob@example.net").unwrap();
    let events = hear(&mut session, &object(&[("action", "okay"), ("response", "3")]));
    assert!(
        matches!(&events[..], [Event::Replied { id, outcome: Err(Error::Server(_)) }] if *id == inquiry),
        "{events:?}"
    );
}

#[test]
fn a_reply_may_carry_more_than_its_pattern() {
    // SIMP-4.3-4: what a signature of a reply may look like is not ours to know; we pass it over.
    let mut session = online();
    session.inquire("bob@example.net").unwrap();
    let reply = object(&[
        ("action", "okay"),
        ("response", "2"),
        ("message", "hearth"),
        ("signature", "c2lnbmVk"),
        ("from", "notifier@example.net"),
    ]);
    let events = hear(&mut session, &reply);
    let [Event::Replied { outcome: Ok(answer), .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(answer, &Answer::Okay("hearth".into()));
}

#[test]
fn messages_are_the_programs_to_answer() {
    let mut session = online();
    let text = object(&[
        ("action", "send"),
        ("request", "x-7"),
        ("to", "alice@example.org"),
        ("from", "bob@example.net"),
        ("reply to", "team@example.net"),
        ("type", "text/html; charset=utf-8"),
        ("body", "<p>noon</p>"),
    ]);
    let mut events = hear(&mut session, &text);
    assert_eq!(session.unsent(), b"");
    let Some(Event::Message { id, message }) = events.pop() else { panic!("{events:?}") };
    // SIMP-5.1-4: the type is that of the body. SIMP-5.1-5: the answer goes where it is preferred.
    assert_eq!(message.content_type, "text/html; charset=utf-8");
    assert_eq!(message.body, "<p>noon</p>");
    assert_eq!(message.answer_to(), "team@example.net");
    assert_eq!(ReceivedMessage { reply_to: None, ..message }.answer_to(), "bob@example.net");
    session.okay(id, "read");
    // SIMP-3.6-2: the reply has the server's id.
    let okay = object(&[("action", "okay"), ("response", "x-7"), ("message", "read")]);
    assert_eq!(written(&mut session), okay);
}

#[test]
fn changes_are_answered_okay_and_told() {
    // SIMP-6.1-5, SIMP-6.2-6
    for (action, ended) in [("note change", false), ("note subscription end", true)] {
        let mut session = online();
        let note = object(&[
            ("action", action),
            ("request", "4"),
            ("to", "alice@example.org"),
            ("from", "notifier@example.net"),
            ("regarding", "bob@example.net"),
            ("status", "online"),
            ("online", "1767605400000"),
            ("message", "at work"),
        ]);
        let events = hear(&mut session, &note);
        let expected = Presence {
            regarding: "bob@example.net".into(),
            status: Status::Online,
            online: Some(1_767_605_400_000),
            message: "at work".into(),
        };
        match &events[..] {
            [Event::Changed(presence)] if !ended => assert_eq!(presence, &expected),
            [Event::SubscriptionEnded(presence)] if ended => assert_eq!(presence, &expected),
            _ => panic!("{events:?}"),
        }
        let okay = object(&[("action", "okay"), ("response", "4"), ("message", "okay")]);
        assert_eq!(written(&mut session), okay);
    }
}

#[test]
fn requests_not_known_or_malformed_are_answered_by_an_error() {
    // SIMP-11-1, OC-28
    let mut session = online();
    let unknown = object(&[("action", "encapsulate"), ("request", "5"), ("to", "alice@example.org")]);
    assert!(hear(&mut session, &unknown).is_empty());
    let error = object(&[("action", "error"), ("response", "5"), ("message", "unrecognized request")]);
    assert_eq!(written(&mut session), error);

    let malformed = object(&[("action", "send"), ("request", "6"), ("to", "alice@example.org")]);
    assert!(hear(&mut session, &malformed).is_empty());
    assert!(
        written(&mut session)
            .starts_with("<properties><entry key=\"action\">error</entry><entry key=\"response\">6</entry>")
    );

    // A server does not ask a client to log it in.
    let login = object(&[("action", "login"), ("request", "7"), ("user", "server")]);
    hear(&mut session, &login);
    assert!(written(&mut session).contains("<entry key=\"response\">7</entry>"));
}

#[test]
fn watchers_are_told() {
    // SIMP-6.3-1, SIMP-6.4-1
    let mut session = online();
    let text = object(&[("action", "note subscription"), ("subscriber", "bob@example.net")])
        + &object(&[("action", "note subscription lapse"), ("subscriber", "bob@example.net")]);
    let events = hear(&mut session, &text);
    let [Event::Subscriber(came), Event::SubscriberGone(went)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((came.as_str(), went.as_str()), ("bob@example.net", "bob@example.net"));
    assert_eq!(session.unsent(), b"");
}

#[test]
fn a_divert_gives_a_ticket_for_another_place() {
    // SIMP-6.5-3, SIMP-6.5-4: the program goes on there, or doesn't.
    let mut session = online();
    let divert = object(&[
        ("action", "divert"),
        ("nonce", "c0ffee00d15ea5e5"),
        ("opaque", "s-41d1"),
        ("algorithm", "MD5"),
        ("host", "im2.example.org"),
        ("port", "7469"),
    ]);
    let mut events = hear(&mut session, &divert);
    let Some(Event::Diverted(ticket)) = events.pop() else { panic!("{events:?}") };
    assert_eq!((ticket.host.as_str(), ticket.port), ("im2.example.org", 7469));
    let mut next = Session::new(alice(), &ticket, false);
    let proof = crate::credential::Algorithm::Md5.authorization(
        "alice@example.org",
        "correct horse",
        "c0ffee00d15ea5e5",
    );
    let connect = object(&[
        ("action", "connect"),
        ("request", "1"),
        ("authorization", &proof),
        ("opaque", "s-41d1"),
        ("version", "1.0"),
    ]);
    assert_eq!(written(&mut next), HEADER.to_owned() + &connect);
    // The numbers of the old session are not used again.
    let before = session.inquire("bob@example.net").unwrap();
    next.number_after(&session);
    assert!(next.inquire("bob@example.net").unwrap() > before);
}

#[test]
fn the_end_of_the_stream_fails_what_waits() {
    let mut session = online();
    let fetch = session.fetch("bob@example.net").unwrap();
    let events = hear(&mut session, "</stream>");
    assert!(
        matches!(&events[..], [Event::Replied { id, outcome: Err(Error::Ended) }, Event::Ended] if *id == fetch),
        "{events:?}"
    );
    // Later requests fail at once, and the end is told once.
    session.closed();
    let late = session.inquire("bob@example.net").unwrap();
    assert!(
        matches!(session.poll_event(), Some(Event::Replied { id, outcome: Err(Error::Ended) }) if id == late)
    );
    assert!(session.poll_event().is_none());
}

#[test]
fn octets_may_come_one_by_one() {
    let ticket = ticket(alice(), false, &[]).unwrap();
    let mut session = Session::new(alice(), &ticket, false);
    let text = HEADER.to_owned()
        + &object(&[("action", "self"), ("response", "1"), ("message", "caf\u{e9}")])
        + "\n"
        + &object(&[("action", "note subscription"), ("subscriber", "bob@example.net")])
        + "</stream>";
    for octet in text.as_bytes() {
        session.receive(&[*octet]).unwrap();
    }
    let events: Vec<Event> = std::iter::from_fn(|| session.poll_event()).collect();
    let [Event::Connected { profile }, Event::Subscriber(_), Event::Ended] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(profile[0].1, "caf\u{e9}");
}

#[test]
fn what_cant_be_asked_is_the_callers_fault() {
    let mut session = online();
    let caller = |result: Result<RequestId, Error>| assert!(matches!(result, Err(Error::Caller(_))));
    caller(session.fetch("bob"));
    caller(session.send(&Message::text("bob@example.net", &"x".repeat(crate::limits::BODY + 1))));
    // SIMP-3.7-3
    caller(session.set_profile(&[("request".into(), "1".into())]));
    caller(session.set_acl(&[("everybody".into(), "send".into()), ("everybody".into(), String::new())]));
    assert_eq!(session.unsent(), b"");
    assert!(Account::new("alice", Proof::DeviceKey(Secret::new(String::new()))).is_err());
}

#[test]
fn buddies_are_a_nested_object() {
    // SIMP-3.7-9, SIMP-3.7-6: part 2.5 (c) of the catalogue.
    let list = buddies(&[("Team", &["bob@example.net", "carol@example.com"])]).unwrap();
    assert_eq!(
        list,
        "<properties><entry key=\"Team\">bob@example.net carol@example.com</entry></properties>\n"
    );
    let mut session = online();
    session.set_profile(&[("message".into(), "in the lab".into()), ("buddies".into(), list)]).unwrap();
    assert!(written(&mut session).contains("<entry key=\"buddies\">&lt;properties&gt;&lt;entry key="));
    assert!(buddies(&[("Team", &["bob"])]).is_err());
}

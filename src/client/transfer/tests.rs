//! The sans-I/O sessions against a server that is a script: octets of both sides are pinned.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::imtp::{self, Imtp, Received, Sent};
use super::pitp::{self, Notice, Pitp, Watcher};
use super::*;
use crate::client::{Account, Error, Proof};
use crate::credential::scram::{ClientFirst, Keys};
use crate::credential::{Cost, PasswordRecord, Secret};
use crate::imtp::error_type::ErrorType;

fn login(channel: Channel) -> Login {
    let proof = Proof::Password(Secret::new("pencil".into()));
    Login::new(&Account::new("ana@a.test", proof).unwrap(), channel, *b"123456789012345678").unwrap()
}

/// What the client has said since the last time.
fn said<S: Service>(session: &mut Session<S>) -> String {
    let text = String::from_utf8(session.unsent().to_vec()).unwrap();
    session.sent(text.len());
    text
}

/// Lines as on the wire.
fn wire(text: &str) -> String {
    text.replace('\n', "\r\n")
}

fn hear<S: Service>(session: &mut Session<S>, text: &str) {
    session.receive(wire(text).as_bytes()).unwrap();
}

fn event<S: Service>(session: &mut Session<S>) -> Event<S> {
    session.poll_event().expect("something has happened")
}

fn outcome<S: Service>(session: &mut Session<S>) -> (RequestId, Result<S::Answer, Error>) {
    match event(session) {
        Event::Replied { id, outcome } => (id, outcome),
        other => panic!("{other:?}"),
    }
}

fn failure<S: Service>(session: &mut Session<S>) -> Failure {
    match outcome(session).1 {
        Err(Error::Failed(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

/// Logged in by PLAIN; its first command is number 2.
fn ready<S: Service>() -> Session<S> {
    let mut session = Session::new(login(Channel::Loopback));
    hear(&mut session, "=mech PLAIN\n");
    said(&mut session);
    hear(&mut session, "<1 ok (auth)\n\n=mech PLAIN\n");
    assert!(matches!(event(&mut session), Event::Ready));
    session
}

#[test]
fn plain_is_said_once_and_only_where_nobody_listens_in() {
    // COMMON-14.1-2, COMMON-14.1-7, COMMON-14.1-17, TOC-18, RFC 4616
    let mut session: Session<Imtp> = Session::new(login(Channel::Loopback));
    assert_eq!(said(&mut session), "");
    hear(&mut session, "=mech EXTERNAL PLAIN\n");
    assert_eq!(
        said(&mut session),
        wire(">1 auth\nMechanism: PLAIN\nContent-Length: 18\n\n\0ana@a.test\0pencil")
    );
    assert!(!session.is_ready());
    hear(&mut session, "<1 ok (auth)\n\n");
    assert!(session.poll_event().is_none());
    hear(&mut session, "=mech EXTERNAL PLAIN\n");
    assert!(matches!(event(&mut session), Event::Ready));
    let mut open: Session<Imtp> = Session::new(login(Channel::Clear));
    assert!(matches!(open.receive(b"=mech PLAIN EXTERNAL\r\n"), Err(Error::Server(_))));
    assert_eq!(said(&mut open), "");
}

/// Answers a SCRAM login as a server that knows this password would; `lists` are its greeting and its repetition.
fn scram(
    channel: Channel,
    password: &str,
    lists: [&str; 2],
    bound: Option<&[u8]>,
) -> (String, Result<(), Error>) {
    let mut session: Session<Imtp> = Session::new(login(channel));
    hear(&mut session, &format!("=mech {}\n", lists[0]));
    let first = said(&mut session);
    let (head, message) = first.split_once("\r\n\r\n").unwrap();
    let plus = head.contains("-PLUS");
    let keys = Keys::of(&PasswordRecord::with_cost(password, [7; 32], Cost::LEAST).unwrap()).unwrap();
    let parsed = ClientFirst::parse(message.as_bytes(), plus, bound).unwrap();
    let (exchange, challenge) = parsed.challenge(&keys, "server");
    let challenge = String::from_utf8(challenge).unwrap();
    let head = head.to_owned();
    let mut go_on = || {
        session.receive(
            format!(
                "<1 error (auth)\r\nError-Type: sasl-challenge\r\nContent-Length: {}\r\n\r\n{challenge}",
                challenge.len()
            )
            .as_bytes(),
        )?;
        let last = said(&mut session);
        let (_, message) = last.strip_prefix(">2 auth\r\n").unwrap().split_once("\r\n\r\n").unwrap();
        let Ok(proof) = exchange.answer(message.as_bytes()) else {
            return session.receive(b"<2 error (auth)\r\nError-Type: sasl-failure\r\n\r\n");
        };
        let proof = String::from_utf8(proof).unwrap();
        let ok =
            format!("<2 ok (auth)\r\nContent-Length: {}\r\n\r\n{proof}=mech {}\r\n", proof.len(), lists[1]);
        session.receive(ok.as_bytes())?;
        assert!(matches!(event(&mut session), Event::Ready));
        Ok(())
    };
    (head, go_on())
}

#[test]
fn all_the_watchers_that_an_account_may_have_can_be_told() {
    // PITP-15.10-3: one header for each of them
    let mut ana = ready::<Pitp>();
    ana.start_wi().unwrap();
    let count = crate::limits::SUBSCRIPTIONS_PER_ACCOUNT;
    let one = |n| format!("Subscription: c{n}/presence:{}{n}@b.test\n", "w".repeat(400));
    let all: String = (0..count).map(one).collect();
    hear(&mut ana, &format!("<2 ok (start-wi)\n{all}\n"));
    match outcome(&mut ana).1.unwrap() {
        pitp::Answer::Watchers(watchers) => {
            assert_eq!(watchers.len(), count);
            assert_eq!(watchers[count - 1].id.as_deref(), Some("c4999"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn scram_is_bound_to_the_channel_where_that_is_offered() {
    // COMMON-14.1-3, COMMON-14.1-8, COMMON-14.1-12, TOC-18, RFC 5802 6
    let everything = ["PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS"; 2];
    let (head, done) = scram(Channel::Tls(Some([1; 32].into())), "pencil", everything, Some(&[1; 32]));
    assert_eq!(head, wire(">1 auth\nMechanism: SCRAM-SHA-256-PLUS\nContent-Length: 63"));
    done.unwrap();
    let (head, done) = scram(Channel::Clear, "pencil", ["PLAIN SCRAM-SHA-256"; 2], None);
    assert_eq!(head, wire(">1 auth\nMechanism: SCRAM-SHA-256\nContent-Length: 42"));
    done.unwrap();
    scram(Channel::Tls(None), "pencil", everything, Some(&[1; 32])).1.unwrap();
    scram(Channel::Tls(Some([1; 32].into())), "pencil", ["SCRAM-SHA-256"; 2], None).1.unwrap();
}

#[test]
fn a_login_that_is_not_right_is_none() {
    // COMMON-14.1-14, COMMON-14.1-15, COMMON-14.1-19
    let lists = ["SCRAM-SHA-256"; 2];
    let (_, wrong) = scram(Channel::Clear, "pen", lists, None);
    let Err(Error::Failed(failure)) = wrong else { panic!("{wrong:?}") };
    assert_eq!(failure.known(), Some(ErrorType::SaslFailure));
    let (_, tampered) = scram(Channel::Clear, "pencil", ["SCRAM-SHA-256", "SCRAM-SHA-256 PLAIN"], None);
    assert!(matches!(tampered, Err(Error::Server(_))), "{tampered:?}");
    // A server that has not proved that it knows the account says ok.
    let mut session: Session<Imtp> = Session::new(login(Channel::Clear));
    hear(&mut session, "=mech SCRAM-SHA-256\n");
    assert!(matches!(session.receive(b"<1 ok (auth)\r\n\r\n"), Err(Error::Server(_))));
    // One whose answer to the login is too large to be read.
    let mut large: Session<Pitp> = Session::new(login(Channel::Clear));
    hear(&mut large, "=mech SCRAM-SHA-256\n");
    let answer = format!("<1 error (auth)\r\nContent-Length: {}\r\n\r\n", crate::limits::DOCUMENT + 1);
    assert!(matches!(large.receive(answer.as_bytes()), Err(Error::Server(_))));
    large.closed();
    assert!(matches!(event(&mut large), Event::Ended), "it was no request of the program's");
    // One that talks before the login's end.
    let mut early: Session<Imtp> = Session::new(login(Channel::Loopback));
    hear(&mut early, "=mech PLAIN\n");
    assert!(matches!(early.receive(b">1 shutdown\r\n\r\n"), Err(Error::Server(_))));
    assert!(matches!(early.listen(&[], &[]), Err(Error::Caller(_))));
    let key = Account::new("ana@a.test", Proof::DeviceKey(Secret::new("k".into()))).unwrap();
    assert!(matches!(Login::new(&key, Channel::Clear, [0; 18]), Err(Error::Caller(_))));
}

#[test]
fn messages_go_out_pipelined_and_are_answered_in_any_order() {
    // IMTP-16.1-1, IMTP-16.1-2, IMTP-16.2-1, IMTP-16.2-9, IMTP-16.2-13
    let mut ana: imtp::Session = ready();
    ana.listen(&["im:*@a.test", "*@*.b.test"], &["bulk@a.test"]).unwrap();
    let first = ana.send("Ben@B.test", &Body::plain("hi")).unwrap();
    let second = ana.send("Cy@A.test", &Body::of_type("text/html", b"<p>")).unwrap();
    assert_eq!(
        said(&mut ana),
        wire(
            ">2 listen\nInbox: im:ana@a.test\nOnly: im:*@a.test\nOnly: im:*@*.b.test\nExcept: im:bulk@a.test\n\n\
             >3 send\nSender: im:ana@a.test\nInbox: im:Ben@b.test\nContent-Length: 2\n\nhi\
             >4 send\nSender: im:ana@a.test\nInbox: im:cy@a.test\nContent-Type: text/html\nContent-Length: 3\n\n<p>"
        )
    );
    hear(
        &mut ana,
        "<4 error (send)\nError-Type: no-listeners\nError-Description: nobody\n is there\nError-Originator: a.test\n\n\
         <3 ok (send)\nUnreliable: b.test\nContent-Length: 4\n\naway<2 ok (listen)\n\n",
    );
    let (id, refused) = outcome(&mut ana);
    let Err(Error::Failed(failure)) = refused else { panic!("{refused:?}") };
    assert_eq!(id, second);
    assert_eq!(failure.to_string(), "no-listeners: nobody is there (says a.test)");
    assert!(failure.is_temporary());
    let (id, taken) = outcome(&mut ana);
    let sent = Sent { said: Some(Body::plain("away")), unreliable: Some("b.test".into()) };
    assert_eq!((id, taken.unwrap()), (first, imtp::Answer::Sent(sent)));
    assert_eq!(outcome(&mut ana).1.unwrap(), imtp::Answer::Listening);
    assert!(ana.poll_event().is_none());
    let large = Body::of_type("text/plain", &vec![b'x'; crate::limits::BODY + 1]);
    assert!(matches!(ana.send("ben@b.test", &large), Err(Error::Caller(_))));
    assert!(matches!(ana.send("ben", &Body::plain("")), Err(Error::Caller(_))));
    assert!(matches!(ana.send("zo\u{eb}@b.test", &Body::plain("")), Err(Error::Caller(_))));
    assert!(matches!(ana.listen(&["fred@*.b.test"], &[]), Err(Error::Caller(_))));
    assert_eq!(said(&mut ana), "");
}

#[test]
fn messages_come_in_and_are_answered_by_the_program() {
    // IMTP-16.2-5, IMTP-16.2-10, IMTP-16.2-13, COMMON-14.2-3, COMMON-10-4
    let mut ana: imtp::Session = ready();
    hear(
        &mut ana,
        ">a send\nSender: im:Ben@B.test\nInbox: im:ana@a.test\nOrig-Sender: im:cy@c.test\nHearth-Sent: 954428374123\n\
         Hearth-Regarding: im:Dan@a.test\nContent-Length: 2\n\nhi\
         >b send\nSender: im:ANA@a.test\nInbox: im:ana@a.test\nContent-Type: text/html\nContent-Length: 3\n\n<p>\
         =nop\n>c send\nSender: im:ben@b.test\nInbox: im:ana@a.test\n\n>d shutdown\n\n>e frob\n\n",
    );
    let mut message = || match event(&mut ana) {
        Event::Told(imtp::Notice { id, message }) => (id, message),
        other => panic!("{other:?}"),
    };
    let (first, said_first) = message();
    let received = Received {
        sender: "Ben@b.test".into(),
        original_sender: Some("cy@c.test".into()),
        sent: Some(954428374123),
        regarding: Some("dan@a.test".into()),
        body: Body::plain("hi"),
    };
    assert_eq!(said_first, received);
    let (second, said_second) = message();
    assert_eq!((&*said_second.sender, &*said_second.body.text()), ("ana@a.test", "<p>"));
    assert!(matches!(event(&mut ana), Event::Moving));
    assert_eq!(
        said(&mut ana),
        wire(
            "<c error (send)\nError-Type: malformed\nError-Description: there is no payload\n\n\
             <d ok (shutdown)\n\n\
             <e error (frob)\nError-Type: unknown-method\n\
             Error-Description: this method is not served here\n\n"
        )
    );
    ana.refuse(second, ErrorType::Resources, "full");
    ana.okay(first, Some(&Body::plain("at lunch")));
    assert_eq!(
        said(&mut ana),
        wire(
            "<b error (send)\nError-Type: resources\nError-Description: full\n\n\
             <a ok (send)\nContent-Length: 8\n\nat lunch"
        )
    );
}

#[test]
fn whoever_is_watched_is_heard_and_nobody_else() {
    // PITP-15.11-1, PITP-15.2-3, PITP-15.15-1, TOC-53
    let mut ana: pitp::Session = ready();
    ana.subscribe("ben@b.test").unwrap();
    ana.subscribe("cy@b.test").unwrap();
    assert_eq!(
        said(&mut ana),
        wire(
            ">2 subscribe\nSubscription: /presence:ana@a.test\nPresentity: presence:ben@b.test\n\n\
             >3 subscribe\nSubscription: /presence:ana@a.test\nPresentity: presence:cy@b.test\n\n"
        )
    );
    hear(
        &mut ana,
        "<2 ok (subscribe)\nContent-Length: 5\n\na = b<3 error (subscribe)\nError-Type: target-authorization\n\n",
    );
    assert_eq!(outcome(&mut ana).1.unwrap(), pitp::Answer::Document(Body::plain("a = b")));
    assert_eq!(failure(&mut ana).known(), Some(ErrorType::TargetAuthorization));
    let change = |id: &str, who: &str| {
        format!(
            ">{id} change-notify\nPresentity: {who}\nSubscription: /presence:ana@a.test\nContent-Length: 1\n\nx"
        )
    };
    let end = |id: &str, who: &str| {
        format!(">{id} terminate-notify\nPresentity: {who}\nSubscription: /ana@a.test\n\n")
    };
    hear(&mut ana, &change("1", "presence:ben@b.test"));
    hear(&mut ana, &change("2", "cy@b.test"));
    hear(&mut ana, &end("3", "ben@b.test"));
    hear(&mut ana, &end("4", "ben@b.test"));
    let Event::Told(told) = event(&mut ana) else { panic!() };
    assert_eq!(told, Notice::Changed { presentity: "ben@b.test".into(), document: Body::plain("x") });
    let Event::Told(told) = event(&mut ana) else { panic!() };
    assert_eq!(told, Notice::Terminated { presentity: "ben@b.test".into() });
    let stranger = "Error-Type: not-subscribed\nError-Description: this client does not watch him\n\n";
    assert_eq!(
        said(&mut ana),
        wire(&format!(
            "<1 ok (change-notify)\n\n<2 error (change-notify)\n{stranger}\
             <3 ok (terminate-notify)\n\n<4 error (terminate-notify)\n{stranger}"
        ))
    );
    ana.unsubscribe("ben@b.test").unwrap();
    assert_eq!(
        said(&mut ana),
        wire(">4 unsubscribe\nSubscription: /presence:ana@a.test\nPresentity: presence:ben@b.test\n\n")
    );
}

#[test]
fn the_list_of_mappings_is_edited_by_number() {
    // PITP-15.1-1, PITP-15.3-1, PITP-15.5-1, PITP-15.7-1, PITP-15.8-1, PITP-15.9-1, TOC-72
    let mut ana: pitp::Session = ready();
    let document = Body::plain("a = b");
    ana.insert_mapping(1, &["*@a.test", "presence:ben@b.test"], Some(&document)).unwrap();
    ana.change(1, None).unwrap();
    ana.set_class(1, &[]).unwrap();
    ana.get_class(1).unwrap();
    ana.fetch_for_update(1).unwrap();
    ana.fetch_for_update(1).unwrap();
    ana.delete_mapping(1).unwrap();
    ana.fetch("ben@b.test").unwrap();
    let at = "Presentity: presence:ana@a.test\nMapping: 1\n";
    assert_eq!(
        said(&mut ana),
        wire(&format!(
            ">2 insert-mapping\n{at}Wpattern: presence:*@a.test\nWpattern: presence:ben@b.test\n\
             Content-Length: 5\n\na = b>3 change\n{at}\n>4 set-class\n{at}\n>5 get-class\n{at}\n\
             >6 fetch-for-update\n{at}\n>7 fetch-for-update\n{at}\n>8 delete-mapping\n{at}\n\
             >9 fetch\nWatcher: presence:ana@a.test\nPresentity: presence:ben@b.test\n\n"
        ))
    );
    hear(
        &mut ana,
        "<2 ok (insert-mapping)\n\n<3 error (change)\nError-Type: update-race\n\n<4 ok (set-class)\n\n\
         <5 ok (get-class)\nWpattern: *\nWpattern: presence:*@b.test\n\n<6 ok (fetch-for-update)\n\n\
         <7 ok (fetch-for-update)\nContent-Length: 0\n\n<8 error (delete-mapping)\nError-Type: mapping-range\n\n\
         <9 ok (fetch)\nContent-Type: text/plain\nContent-Length: 1\n\nx",
    );
    assert_eq!(outcome(&mut ana).1.unwrap(), pitp::Answer::Done);
    assert_eq!(failure(&mut ana).known(), Some(ErrorType::UpdateRace));
    assert_eq!(outcome(&mut ana).1.unwrap(), pitp::Answer::Done);
    let class = vec!["*".to_owned(), "presence:*@b.test".to_owned()];
    assert_eq!(outcome(&mut ana).1.unwrap(), pitp::Answer::Class(class));
    assert_eq!(outcome(&mut ana).1.unwrap(), pitp::Answer::Shown(None));
    assert_eq!(outcome(&mut ana).1.unwrap(), pitp::Answer::Shown(Some(Body::plain(""))));
    assert_eq!(failure(&mut ana).known(), Some(ErrorType::MappingRange));
    assert_eq!(outcome(&mut ana).1.unwrap(), pitp::Answer::Document(Body::of_type("text/plain", b"x")));
    assert!(matches!(ana.delete_mapping(0), Err(Error::Caller(_))));
}

#[test]
fn the_watchers_are_watched() {
    // PITP-15.13-1, TOC-87
    let mut ana: pitp::Session = ready();
    ana.start_wi().unwrap();
    let ben = Watcher { id: Some("K3x9".into()), who: "ben@b.test".into() };
    ana.terminate(&ben).unwrap();
    assert_eq!(
        said(&mut ana),
        wire(
            ">2 start-wi\nPresentity: presence:ana@a.test\n\n\
             >3 terminate\nPresentity: presence:ana@a.test\nSubscription: K3x9/presence:ben@b.test\n\n"
        )
    );
    hear(
        &mut ana,
        "<2 ok (start-wi)\nSubscription: K3x9/presence:ben@b.test\nSubscription: /presence:Cy@A.test\n\n\
         <3 ok (terminate)\n\n>1 fetch-notify\nWatcher: presence:cy@a.test\nPresentity: presence:ana@a.test\n\n\
         >2 subscribe-notify\nSubscription: K3x9/ben@b.test\nPresentity: presence:ana@a.test\n\n\
         >3 unsubscribe-notify\nWatcher: K3x9/ben@b.test\nPresentity: presence:ana@a.test\n\n",
    );
    let cy = Watcher { id: None, who: "cy@a.test".into() };
    assert_eq!(outcome(&mut ana).1.unwrap(), pitp::Answer::Watchers(vec![ben.clone(), cy]));
    assert_eq!(outcome(&mut ana).1.unwrap(), pitp::Answer::Done);
    let mut told = || match event(&mut ana) {
        Event::Told(notice) => notice,
        other => panic!("{other:?}"),
    };
    assert_eq!(told(), Notice::Fetched { watcher: "cy@a.test".into() });
    assert_eq!(told(), Notice::Subscribed(ben.clone()));
    assert_eq!(told(), Notice::Unsubscribed(ben));
    let answers = "<1 ok (fetch-notify)\n\n<2 ok (subscribe-notify)\n\n<3 ok (unsubscribe-notify)\n\n";
    assert_eq!(said(&mut ana), wire(answers));
}

#[test]
fn what_the_server_does_wrong_fails_one_command_or_the_connection() {
    // TOC-36, TOC-48, TOC-33, TOC-30
    let mut ana: Session<Pitp> = ready();
    for _ in 0..3 {
        ana.fetch("ben@b.test").unwrap();
    }
    said(&mut ana);
    hear(&mut ana, "<99 ok (fetch)\n\n<02 ok (fetch)\n\n<2 ok (fetch)\n\n<3 error (fetch)\n\n");
    assert!(matches!(outcome(&mut ana).1, Err(Error::Server(_))));
    assert!(matches!(outcome(&mut ana).1, Err(Error::Server(_))));
    let large = crate::limits::DOCUMENT + 1;
    hear(&mut ana, &format!("<4 ok (fetch)\nContent-Length: {large}\n\n{}", "x".repeat(large)));
    assert!(matches!(outcome(&mut ana).1, Err(Error::Server(_))));
    let waiting = ana.fetch("ben@b.test").unwrap();
    ana.closed();
    let (id, ended) = outcome(&mut ana);
    assert!(id == waiting && matches!(ended, Err(Error::Ended)));
    assert!(matches!(event(&mut ana), Event::Ended));
    ana.closed();
    assert!(ana.poll_event().is_none());
    assert!(matches!(ana.fetch("ben@b.test"), Err(Error::Ended)));
    let mut other: Session<Pitp> = ready();
    other.fetch("ben@b.test").unwrap();
    assert!(matches!(other.receive(b"<2 ok (change)\r\n\r\n"), Err(Error::Server(_))));
    let mut torn: Session<Pitp> = ready();
    assert!(matches!(torn.receive(b"=nop\n"), Err(Error::Server(_))));
}

#[test]
fn any_pieces_of_input_say_the_same() {
    let script = "<2 ok (listen)\r\n\r\n>1 send\r\nSender: im:b@b.test\r\nInbox: im:ana@a.test\r\n\
                  Content-Length: 3\r\n\r\na\r\n=nop\r\n";
    for size in 1..script.len() {
        let mut ana: imtp::Session = ready();
        ana.listen(&[], &[]).unwrap();
        for piece in script.as_bytes().chunks(size) {
            ana.receive(piece).unwrap();
        }
        assert!(matches!(outcome(&mut ana).1, Ok(imtp::Answer::Listening)));
        let Event::Told(told) = event(&mut ana) else { panic!() };
        assert_eq!(told.message.body.text(), "a\r\n");
    }
}

//! Writing: the strict form, whatever comes in.

use hearth::hub::address::Address;
use hearth::hub::pattern::{Class, Filter};
use hearth::imtp::Protocol::{Imtp, Pitp};
use hearth::imtp::command::{At, Change, Command, Listen, Mapping, Payload, Response, Send, SetClass};
use hearth::imtp::error_type::ErrorType;
use hearth::imtp::message::Message;
use hearth::imtp::method::{Method, Side};
use hearth::imtp::url::{Subscription, Url};
use hearth::imtp::write::{self, Relayed};
use proptest::prelude::*;

use crate::{crlf, ours, with};

fn written(command: &Command<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    write::command(&mut out, u64::MAX, command, &Relayed::default());
    out
}

#[track_caller]
fn same(octets: &[u8], text: &str) {
    assert_eq!(String::from_utf8_lossy(octets), String::from_utf8_lossy(&crlf(text)));
}

#[test]
fn addresses_of_ours() {
    // PITP-9-1, IMTP-9-1, COMMON-10-7, TOC-53
    let ana = Address::parse("Ana@Alpha.example", &ours()).unwrap();
    let jane = Address::parse_quoted("\"Jane Smith\"@domain.com", &ours()).unwrap();
    let send = Send {
        sender: Url::from(&ana),
        inbox: Url::from(&jane),
        visited: None,
        message: Payload { content_type: Some("text/plain".into()), octets: b"hi" },
    };
    let text = ">18446744073709551615 send
Sender: im:ana@alpha.example
Inbox: im:\"Jane Smith\"@domain.com
Content-Type: text/plain
Content-Length: 2

hi";
    same(&written(&Command::Send(send)), text);
    let at = At { presentity: Url::from(&ana), mapping: Mapping::parse("7").unwrap() };
    let change = Command::Change(Change { at, document: None });
    same(
        &written(&change),
        ">18446744073709551615 change\nPresentity: presence:ana@alpha.example\nMapping: 7\n\n",
    );
}

#[test]
fn nothing_is_written_but_the_strict_form() {
    // COMMON-10-11, COMMON-10-12, TOC-53, TOC-54, X2: what came loosely
    for (protocol, side, loose, strict) in [
        (
            Imtp,
            Side::Client,
            ">1 \t listen \nInbox:\n \tIMTO:Ana@x \nOnly:*@y\nExcept: \n *\n\n",
            ">1 listen\nInbox: im:Ana@x\nOnly: im:*@y\nExcept: *\n\n",
        ),
        (
            Pitp,
            Side::Peer,
            ">2 subscribe\nPresentity:a@b\nSubscription:K3\n /\n  PRESENCE:\"c d\"@E\n\n",
            ">2 subscribe\nSubscription: K3/presence:\"c d\"@E\nPresentity: presence:a@b\n\n",
        ),
        (
            Pitp,
            Side::Home,
            ">3 unsubscribe-notify\nWatcher: a@b\nPresentity: zephyr:x\n\n",
            ">3 unsubscribe-notify\nSubscription: /presence:a@b\nWatcher: /presence:a@b\nPresentity: zephyr:x\n\n",
        ),
        (
            Imtp,
            Side::Peer,
            ">4 send\nVisited: a\n b \t c\nContent-Length:\t0002\nInbox:x@y\nContent-Type:a/b;\n  c=d\nSender: z@y\n\nhi",
            ">4 send\nSender: im:z@y\nInbox: im:x@y\nContent-Type: a/b; c=d\nVisited: a b c\nContent-Length: 2\n\nhi",
        ),
        (Imtp, Side::Client, ">5 auth\nAbort: yes\n\n", ">5 auth\nAbort:\n\n"),
        (Imtp, Side::Home, "<6 nrror(send)\nError-Type:\n  x\n\n", "<6 error (send)\nError-Type: x\n\n"),
    ] {
        let strict_again = with(&crlf(loose), |message| crate::examples::rewritten(message, protocol, side));
        same(&strict_again, strict);
        with(&strict_again, |message: &Message<'_>| {
            assert_eq!(crate::examples::rewritten(message, protocol, side), strict_again);
        });
    }
}

#[test]
fn classes() {
    // PITP-15.7-2, PITP-15.10-3
    let class = Class::parse(["*", "a@b", "presence:*@c"], Pitp.schemes(), &ours()).unwrap();
    let mut out = Vec::new();
    write::ok_class(&mut out, "x1", &class);
    same(&out, "<x1 ok (get-class)\nWpattern: *\nWpattern: presence:a@b\nWpattern: presence:*@c\n\n");
    let at = At { presentity: Url::parse("a@b", Pitp).unwrap(), mapping: Mapping::TooLarge };
    let set = Command::SetClass(SetClass { at, class });
    with(&written(&set), |m| assert_eq!(Command::parse(m, Pitp, Side::Client, &ours()).as_ref(), Ok(&set)));
    let only = Class::parse(["*", "a@b", "im:*@*.c"], Imtp.schemes(), &ours()).unwrap();
    let filter = Filter { only, except: Class::default() };
    let listen = Listen { inbox: Url::parse("im:a@b", Imtp).unwrap(), filter };
    with(&written(&Command::Listen(listen.clone())), |m| {
        assert_eq!(Command::parse(m, Imtp, Side::Client, &ours()), Ok(Command::Listen(listen.clone())));
    });
    let watcher = Url::parse("a@b", Pitp).unwrap();
    let watchers = [Subscription { id: Some("K3"), watcher }, Subscription { id: None, watcher }];
    let mut out = Vec::new();
    write::ok_watchers(&mut out, "x1", watchers);
    same(&out, "<x1 ok (start-wi)\nSubscription: K3/presence:a@b\nSubscription: /presence:a@b\n\n");
}

#[test]
fn descriptions_of_any_text() {
    // COMMON-12-3, TOC-30, TOC-44, G5
    for (text, said) in [
        ("plain", Some("plain")),
        ("", None),
        ("two\nlines", Some("two lines")),
        ("two\r\nlines", Some("two  lines")),
        ("a\r\n\r\n>1 send", Some("a    >1 send")),
        ("a\0b\u{1b}", Some("a\u{fffd}b\u{fffd}")),
        ("ein Umlaut: \u{fc}", Some("ein Umlaut: \u{fc}")),
    ] {
        let mut out = Vec::new();
        write::refuse(&mut out, "1", "send", ErrorType::Resources, text);
        with(&out, |message| {
            let Ok(Response::Error(failure)) = Response::parse(message, Method::Send, Imtp) else { panic!() };
            assert_eq!(failure.description, said, "{text:?}");
        });
    }
    let mut out = Vec::new();
    write::refuse(&mut out, "1", "send", ErrorType::Resources, &"\u{e9}".repeat(300));
    with(&out, |message| {
        let Ok(Response::Error(failure)) = Response::parse(message, Method::Send, Imtp) else { panic!() };
        assert_eq!(failure.description.unwrap().len(), 200);
    });
}

proptest! {
    #[test]
    fn any_message_arrives(octets in prop::collection::vec(any::<u8>(), 0..300), id in any::<u64>(),
        sender in "[a-z]{1,8}@[a-z]{1,8}", local in "\"[ -!#-\\[\\]-~]{1,8}\"") {
        // COMMON-10-2, COMMON-10-10
        let inbox = format!("{local}@x");
        let send = Command::Send(Send {
            sender: Url::parse(&sender, Imtp).unwrap(),
            inbox: Url::parse(&inbox, Imtp).unwrap(),
            visited: None,
            message: Payload { content_type: None, octets: &octets },
        });
        let mut out = Vec::new();
        write::command(&mut out, id, &send, &Relayed::default());
        with(&out, |message| {
            assert_eq!(message.start().id, id.to_string());
            assert_eq!(Command::parse(message, Imtp, Side::Peer, &ours()), Ok(send.clone()));
        });
    }
}

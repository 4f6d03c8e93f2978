//! Commands: what each method needs, who may send it, and what is answered to what is wrong.

use hearth::imtp::Protocol::{self, Imtp, Pitp};
use hearth::imtp::command::{Auth, Command, Fault, Mapping};
use hearth::imtp::error_type::ErrorType;
use hearth::imtp::framer::{Bounds, Framer, Step};
use hearth::imtp::message::{Astrength, Header, Scratch};
use hearth::imtp::method::{Allowed, Method, Side};

use crate::{command, crlf, ours, with};

/// The side that sends a method, the protocol it is of, and its headers, all of them required.
fn shape(method: Method) -> (Side, Protocol, Vec<&'static str>) {
    let at = vec!["Presentity: presence:ana@alpha.example", "Mapping: 3"];
    let fetch = vec!["Watcher: presence:ben@beta.example", "Presentity: presence:ana@alpha.example"];
    let token = vec!["Presentity: presence:ana@alpha.example", "Subscription: K3/presence:ben@beta.example"];
    let blank = vec!["Presentity: presence:ana@alpha.example", "Subscription: /presence:ben@beta.example"];
    match method {
        Method::Auth => (Side::Client, Imtp, vec!["Mechanism: PLAIN"]),
        Method::Shutdown => (Side::Home, Imtp, vec![]),
        Method::Change
        | Method::DeleteMapping
        | Method::FetchForUpdate
        | Method::GetClass
        | Method::InsertMapping
        | Method::SetClass => (Side::Client, Pitp, at),
        Method::Fetch => (Side::Client, Pitp, fetch),
        Method::FetchNotify => (Side::Home, Pitp, fetch),
        Method::StartWi => (Side::Client, Pitp, vec!["Presentity: presence:ana@alpha.example"]),
        Method::Subscribe | Method::Unsubscribe => (Side::Client, Pitp, blank),
        Method::Terminate => (Side::Client, Pitp, token),
        Method::ChangeNotify
        | Method::SubscribeNotify
        | Method::TerminateNotify
        | Method::UnsubscribeNotify => (Side::Home, Pitp, token),
        Method::Listen => (Side::Client, Imtp, vec!["Inbox: im:ana@alpha.example"]),
        Method::Send => {
            (Side::Client, Imtp, vec!["Sender: im:ana@alpha.example", "Inbox: im:ben@beta.example"])
        }
    }
}

fn text(method: Method, headers: &[&str], payload: bool) -> String {
    let mut text = format!(">1 {}\n", method.as_str());
    for header in headers {
        text += header;
        text += "\n";
    }
    text + if payload { "Content-Length: 2\n\nhi" } else { "\n" }
}

#[track_caller]
fn fault(text: &str, protocol: Protocol, side: Side) -> Option<Fault> {
    command(text, protocol, side, |read| read.err())
}

#[test]
fn every_method_needs_its_headers() {
    // COMMON-14.1-2, COMMON-14.2-1, PITP-15.1-1, PITP-15.2-1, PITP-15.3-1, PITP-15.4-1, PITP-15.5-1, PITP-15.6-2
    // PITP-15.7-1, PITP-15.8-1, PITP-15.9-1, PITP-15.10-1, PITP-15.11-1, PITP-15.12-2, PITP-15.13-1, PITP-15.14-2
    // PITP-15.15-1, PITP-15.16-2, PITP-11.1-1, IMTP-11.1-1, IMTP-16.1-1, IMTP-16.2-1, TOC-40
    for method in Method::ALL {
        let (side, protocol, headers) = shape(method);
        let payload = method.payload() == Allowed::Must;
        let whole = text(method, &headers, payload);
        command(&whole, protocol, side, |read| assert_eq!(read.unwrap().method(), method));
        for missing in 0..headers.len() {
            let mut fewer = headers.clone();
            let name = fewer.remove(missing).split(':').next().unwrap();
            let header = Header::of(name).unwrap();
            let fault = fault(&text(method, &fewer, payload), protocol, side);
            let expected = match method {
                Method::Auth => Fault::NoPayload,
                Method::UnsubscribeNotify if header == Header::Subscription => {
                    Fault::Missing(Header::Watcher)
                }
                _ => Fault::Missing(header),
            };
            assert_eq!(fault, Some(expected), "{method:?} without {name}");
            if method != Method::Auth {
                let empty = format!("{name}:");
                fewer.insert(missing, &empty);
                let fault = self::fault(&text(method, &fewer, payload), protocol, side);
                assert_eq!(fault, Some(Fault::Value(header)), "{method:?} with an empty {name}");
            }
        }
    }
}

#[test]
fn payloads_where_they_belong() {
    // COMMON-10-13, COMMON-14.1-7, PITP-15.1-2, PITP-15.2-2, PITP-15.8-3, IMTP-16.2-9, TOC-37
    for method in Method::ALL {
        let (side, protocol, headers) = shape(method);
        let (with, without) = (text(method, &headers, true), text(method, &headers, false));
        let (with, without) = (fault(&with, protocol, side), fault(&without, protocol, side));
        let expected = match method.payload() {
            Allowed::No => (Some(Fault::Payload), None),
            Allowed::May => (None, None),
            Allowed::Must => (None, Some(Fault::NoPayload)),
        };
        assert_eq!((with, without), expected, "{method:?}");
    }
}

#[test]
fn who_sends_what() {
    // COMMON-10-26, COMMON-10-27, COMMON-14.1-1, COMMON-14.2-4, PITP-15-1, PITP-15-2, TOC-25, X13
    let between = [
        Method::Auth,
        Method::ChangeNotify,
        Method::Fetch,
        Method::Subscribe,
        Method::TerminateNotify,
        Method::Unsubscribe,
        Method::Send,
    ];
    for method in Method::ALL {
        let (_, protocol, headers) = shape(method);
        let text = text(method, &headers, method.payload() == Allowed::Must);
        assert_eq!(method.is_sent_by(Side::Peer), between.contains(&method), "{method:?}");
        for side in [Side::Client, Side::Home, Side::Peer] {
            let fault = fault(&text, protocol, side);
            // Whoever speaks for another's source hears that first.
            let read = method.is_sent_by(side) || side == Side::Peer && method.is_sent_by(Side::Client);
            match fault {
                Some(Fault::ConnectionId) if method == Method::Subscribe => {}
                Some(fault) => {
                    assert!(!read && fault == Fault::UnknownMethod, "{method:?} by {side:?}: {fault:?}")
                }
                None => assert!(read, "{method:?} by {side:?}"),
            }
        }
        let other = if protocol == Imtp { Pitp } else { Imtp };
        let common = matches!(method, Method::Auth | Method::Shutdown);
        let side = shape(method).0;
        assert_eq!(fault(&text, other, side).is_none(), common, "{method:?} in {other:?}");
        let upper = text.replacen(method.as_str(), &method.as_str().to_uppercase(), 1);
        assert_eq!(fault(&upper, protocol, side), Some(Fault::UnknownMethod), "{upper}");
    }
    assert_eq!(Fault::UnknownMethod.error_type(), ErrorType::UnknownMethod);
    // Before anything else is looked at (3.8).
    assert_eq!(fault(">1 shutdown\nX\n\u{1}\n\n", Imtp, Side::Client), Some(Fault::UnknownMethod));
}

#[test]
fn sources_and_targets() {
    // PITP-12-1, PITP-12-2, PITP-12-3, PITP-12-4, PITP-12-5, IMTP-12-1, IMTP-12-2, COMMON-12-8, COMMON-12-9
    // COMMON-12-10, COMMON-12-11, COMMON-12-12, COMMON-12-13, COMMON-12-14, COMMON-12-15, COMMON-12-16
    // COMMON-12-17, PITP-15.4-3, PITP-15.10-4, PITP-15.11-7, IMTP-16.1-8, IMTP-16.2-19, IMTP-16.2-20, X17, X18
    for method in Method::ALL {
        let (side, protocol, headers) = shape(method);
        let text = text(method, &headers, method.payload() == Allowed::Must);
        with(&crlf(&text), |message| {
            let command = Command::parse(message, protocol, side, &ours()).unwrap();
            let value = |header: Option<Header>| {
                header.map(|h| {
                    message.get(h).unwrap().trim_start_matches("K3").trim_start_matches('/').to_owned()
                })
            };
            let written = |url: Option<hearth::imtp::url::Url<'_>>| {
                url.map(|url| format!("{}:{}", protocol.scheme(), url.identifier().unwrap().as_str()))
            };
            assert_eq!(written(command.source()), value(method.source()), "{method:?}");
            assert_eq!(written(command.target()), value(method.target()), "{method:?}");
        });
        for error in ErrorType::ALL {
            let may = method.may_fail_with(error);
            let expected = match error {
                ErrorType::SourceAuthorization | ErrorType::Quota => method.source().is_some(),
                ErrorType::TargetAuthorization | ErrorType::TargetNotFound => method.target().is_some(),
                ErrorType::SaslChallenge | ErrorType::SaslFailure => method == Method::Auth,
                ErrorType::MappingRange => headers.iter().any(|h| h.starts_with("Mapping")),
                ErrorType::UpdateRace => method == Method::Change,
                ErrorType::NoListeners | ErrorType::Loop => method == Method::Send,
                ErrorType::NotSubscribed => matches!(
                    method.as_str(),
                    "change-notify" | "terminate" | "terminate-notify" | "unsubscribe"
                ),
                _ => true,
            };
            assert_eq!(may, expected, "{method:?} {error}");
        }
        assert!(method.may_fail_with(method.too_much()));
    }
}

#[test]
fn heads_that_are_not_well_formed() {
    // COMMON-10-1, COMMON-10-16, COMMON-10-17, COMMON-10-20, TOC-39, G4, G5, G18, G20, G23
    let send = |header: &str| {
        format!(">1 send\nSender: im:a@alpha.example\n{header}\nInbox: im:b@b\nContent-Length: 2\n\nhi")
    };
    for (header, expected) in [
        ("Content-Transfer-Encoding: 8bit", Some(Fault::Encoding)),
        ("Content-Transfer-Encoding:", Some(Fault::Encoding)),
        ("No colon", Some(Fault::Line)),
        (": no name", Some(Fault::Line)),
        ("A name: x", Some(Fault::Line)),
        ("Content-Length : 2", Some(Fault::Line)),
        ("N\u{e9}: x", Some(Fault::Line)),
        ("X: y\n ", Some(Fault::Line)),
        ("X: y\n \t\n z", Some(Fault::Line)),
        ("X: \u{0}", Some(Fault::Text)),
        ("X: \u{1b}[2J", Some(Fault::Text)),
        ("X: \u{7f}", Some(Fault::Text)),
        ("X: \u{b}", Some(Fault::Text)),
        ("X: \u{fffe}", Some(Fault::Text)),
        ("X: \u{ffff}", Some(Fault::Text)),
        ("X:", None),
        ("X: ", None),
        ("X:\n y\n\tz \t", None),
        ("X: \u{80}\u{9f}\u{2028}\u{fffd}\u{10ffff}\u{d7ff}", None),
        ("X\"(,;<=>?@[\\]~: y:z", None),
        ("x: lower case is another header\nsender: x:y\ninbox: z", None),
    ] {
        assert_eq!(fault(&send(header), Imtp, Side::Client), expected, "{header:?}");
    }
    // Of such a head nothing is read, and nothing is passed on.
    with(&crlf(&send("X: y\nNo colon\nAstrength: weak")), |message| {
        assert_eq!((message.get(Header::Sender), message.extras().count()), (None, 0));
        assert_eq!(message.astrength(), Astrength::Strong);
        assert_eq!(message.payload(), Some(&b"hi"[..]));
    });
    let first = ">1 send\n Sender: im:a@alpha.example\n\n";
    assert_eq!(fault(first, Imtp, Side::Client), Some(Fault::Line));
    for octets in [&b"\xff"[..], b"\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"] {
        let mut message = b">1 shutdown\r\nX: ".to_vec();
        message.extend_from_slice(octets);
        message.extend_from_slice(b"\r\nY: z\r\n\r\n");
        with(&message, |message| {
            let fault = Command::parse(message, Imtp, Side::Home, &ours()).unwrap_err();
            assert_eq!((fault, fault.error_type()), (Fault::Text, ErrorType::Malformed));
            assert_eq!(message.extras().count(), 0, "never relayed");
        });
    }
}

#[test]
fn values_that_do_not_fit() {
    // COMMON-10-12, COMMON-10-20, COMMON-11.1-1, PITP-11.5-1, IMTP-11.8-1, TOC-68
    let send =
        |header: &str| format!(">1 send\n{header}\nSender: im:a@b\nInbox: im:c@d\nContent-Length: 0\n\n");
    for (header, expected) in [
        ("Sender: im:a b@c", Some(Header::Sender)),
        ("Sender: im:a\n b@c", Some(Header::Sender)),
        ("Inbox: im:\n b@c", Some(Header::Inbox)),
        ("Inbox: im:b@c, im:d@e", Some(Header::Inbox)),
        ("Visited: a,b", Some(Header::Visited)),
        ("Orig-Sender: ?", Some(Header::OrigSender)),
        ("Orig-Inbox: a@b\nOrig-Inbox: c", Some(Header::OrigInbox)),
        ("Content-Type: text", Some(Header::ContentType)),
        ("Content-Type: text/plain; charset", Some(Header::ContentType)),
        ("Visited:\nOrig-Sender: a@b\nOrig-Inbox: zephyr:x\nOrig-Inbox:\n  \"a b\"@c", None),
        ("Content-Type: text/plain;\n charset=\"UTF-8\"", None),
        ("Mapping: x\nPresentity: ?\nError-Type: ?\nMechanism: ?", None),
    ] {
        let fault = fault(&send(header), Imtp, Side::Client);
        assert_eq!(fault, expected.map(Fault::Value), "{header}");
    }
    assert_eq!(Fault::Value(Header::Visited).to_string(), "Visited has no proper value");
    assert_eq!(Fault::Missing(Header::Inbox).to_string(), "there is no Inbox");
}

#[test]
fn mappings() {
    // PITP-11.5-1, PITP-15.1-6
    let number = |n: u32| Some(Mapping::Number(n.try_into().unwrap()));
    let hundred = "9".repeat(100);
    for (text, mapping) in [
        ("1", number(1)),
        ("4294967295", number(u32::MAX)),
        ("4294967296", Some(Mapping::TooLarge)),
        (&hundred, Some(Mapping::TooLarge)),
        ("0", None),
        ("01", None),
        ("+1", None),
        ("-1", None),
        ("1.0", None),
        ("1 2", None),
        ("", None),
        ("\u{661}", None),
    ] {
        assert_eq!(Mapping::parse(text), mapping, "{text}");
        let text = format!(">1 get-class\nPresentity: a@b\nMapping: {text} \n\n");
        command(&text, Pitp, Side::Client, |read| match (read, mapping) {
            (Ok(Command::GetClass(at)), Some(mapping)) => assert_eq!(at.mapping, mapping),
            (Err(fault), None) => assert_eq!(fault, Fault::Value(Header::Mapping)),
            (read, _) => panic!("{read:?}"),
        });
    }
}

#[test]
fn of_a_repeated_header_the_first_counts() {
    // COMMON-10-23, COMMON-10-24
    let text = ">1 send\nSender: im:a@b\nSender: ?\nInbox: im:c@d\nInbox: im:e@f\nContent-Length: 2\nContent-Length: 9\n\nhi";
    command(text, Imtp, Side::Client, |read| {
        let Ok(Command::Send(send)) = read else { panic!("{read:?}") };
        assert_eq!(send.sender.identifier().unwrap().as_str(), "a@b");
        assert_eq!(send.inbox.identifier().unwrap().as_str(), "c@d");
        assert_eq!(send.message.octets, b"hi");
    });
    let text = ">1 get-class\nPresentity: a@b\nMapping: 1\nMapping: 2\n\n";
    command(text, Pitp, Side::Client, |read| {
        assert!(matches!(read, Ok(Command::GetClass(at)) if at.mapping == Mapping::parse("1").unwrap()))
    });
}

#[test]
fn connection_ids() {
    // PITP-11.7-3, PITP-11.7-4, PITP-11.7-7, PITP-11.7-8
    for method in ["subscribe", "unsubscribe"] {
        let text = format!(">1 {method}\nSubscription: K3/a@b\nPresentity: c@d\n\n");
        assert_eq!(fault(&text, Pitp, Side::Client), Some(Fault::ConnectionId));
        assert_eq!(fault(&text, Pitp, Side::Peer), None);
    }
}

#[test]
fn an_end_is_notified_in_two_ways() {
    // PITP-15.16-2, TOC-87, X12
    for (headers, id) in [
        ("Subscription: K3/a@b\nWatcher: K3/a@b", Some("K3")),
        ("Subscription: K3/a@b\nWatcher: ?", Some("K3")),
        ("Watcher: K3/a@b", Some("K3")),
        ("Watcher: /a@b", None),
        ("Watcher: presence:a@b", None),
    ] {
        let text = format!(">1 unsubscribe-notify\n{headers}\nPresentity: c@d\n\n");
        command(&text, Pitp, Side::Home, |read| {
            let Ok(Command::UnsubscribeNotify(watch)) = read else { panic!("{read:?}") };
            assert_eq!(watch.subscription.id, id, "{headers}");
            assert_eq!(watch.subscription.watcher.identifier().unwrap().as_str(), "a@b");
        });
    }
    let text = ">1 unsubscribe-notify\nWatcher: ?\nPresentity: c@d\n\n";
    assert_eq!(fault(text, Pitp, Side::Home), Some(Fault::Value(Header::Watcher)));
}

#[test]
fn authentication() {
    // COMMON-10-15, COMMON-11.6-1, COMMON-14.1-2, COMMON-14.1-3, COMMON-14.1-4, COMMON-14.1-5, COMMON-14.1-6
    // COMMON-14.1-7, COMMON-14.1-8, COMMON-14.1-9
    let auth =
        |headers: &str| command(&format!(">1 auth\n{headers}"), Imtp, Side::Peer, |read| read.map(|_| ()));
    for (headers, expected) in [
        ("Mechanism: plain\n\n", Ok(())),
        ("Mechanism: PLAIN\nContent-Length: 0\n\n", Ok(())),
        ("Content-Type: Application/Octet-Stream\nContent-Length: 0\n\n", Ok(())),
        ("Abort: anything\n\n", Ok(())),
        ("Abort:\nContent-Length: 2\n\nhi", Ok(())),
        ("\n", Err(Fault::NoPayload)),
        ("Mechanism:\n\n", Err(Fault::Value(Header::Mechanism))),
        ("Mechanism: A B\n\n", Err(Fault::Value(Header::Mechanism))),
        ("Mechanism: ABCDEFGHIJKLMNOPQRSTU\n\n", Err(Fault::Value(Header::Mechanism))),
        ("Content-Type: text/plain\nContent-Length: 2\n\nhi", Err(Fault::Value(Header::ContentType))),
    ] {
        assert_eq!(auth(headers), expected, "{headers:?}");
    }
    command(">1 auth\nMechanism: X\n\n", Pitp, Side::Client, |read| {
        assert_eq!(read, Ok(Command::Auth(Auth::Begin { mechanism: "X", initial: None })));
    });
    command(">1 auth\nContent-Length: 0\n\n", Pitp, Side::Client, |read| {
        assert_eq!(read, Ok(Command::Auth(Auth::Continue { response: b"" })));
    });
    command(">1 auth\nAbort:\n\n", Pitp, Side::Client, |read| {
        assert_eq!(read, Ok(Command::Auth(Auth::Abort)))
    });
}

#[test]
fn classes_and_filters() {
    // PITP-15.8-2, PITP-15.9-2, PITP-11.3-1, IMTP-11.3-1, IMTP-16.1-2, G11
    let text = ">1 insert-mapping\nPresentity: a@b\nMapping: 1\nWpattern: *@c\nWpattern: presence:D@Alpha.example\n\n";
    command(text, Pitp, Side::Client, |read| {
        let Ok(Command::InsertMapping(insert)) = read else { panic!("{read:?}") };
        let spellings: Vec<&str> = insert.class.spellings().collect();
        assert_eq!(spellings, ["presence:*@c", "presence:D@Alpha.example"]);
        assert_eq!(insert.document, None);
    });
    command(">1 set-class\nPresentity: a@b\nMapping: 1\n\n", Pitp, Side::Client, |read| {
        assert!(matches!(read, Ok(Command::SetClass(set)) if set.class.is_empty()));
    });
    for header in ["Wpattern: presence:a@*.b", "Wpattern: *\nWpattern:"] {
        let text = format!(">1 set-class\nPresentity: a@b\nMapping: 1\n{header}\n\n");
        assert_eq!(fault(&text, Pitp, Side::Client), Some(Fault::Value(Header::Wpattern)));
    }
    let text = ">1 listen\nInbox: a@b\nOnly: *@c\nExcept: d@c\nOnly: x:*\n\n";
    command(text, Imtp, Side::Client, |read| {
        let Ok(Command::Listen(listen)) = read else { panic!("{read:?}") };
        assert_eq!(listen.filter.only.spellings().collect::<Vec<_>>(), ["im:*@c", "x:*"]);
        assert_eq!(listen.filter.except.spellings().collect::<Vec<_>>(), ["im:d@c"]);
    });
    let text = ">1 listen\nInbox: a@b\nExcept: im:*@*\n\n";
    assert_eq!(fault(text, Imtp, Side::Client), Some(Fault::Value(Header::Except)));
}

#[test]
fn types_of_payloads() {
    // COMMON-10-14, PITP-10-1, IMTP-10-1
    assert_eq!(
        (Imtp.default_type(), Pitp.default_type()),
        ("text/plain; charset=UTF-8", "application/presence")
    );
    for (header, said) in [
        ("X: y", None),
        ("Content-Type: text/html", Some("text/html")),
        ("Content-Type: text/plain;\n\t charset=UTF-8", Some("text/plain; charset=UTF-8")),
    ] {
        let text = format!(">1 send\nSender: a@b\nInbox: c@d\n{header}\nContent-Length: 2\n\nhi");
        command(&text, Imtp, Side::Client, |read| {
            let Ok(Command::Send(send)) = read else { panic!("{read:?}") };
            assert_eq!(send.message.content_type.as_deref(), said);
        });
    }
    // Without a payload it says nothing.
    let text = ">1 change\nPresentity: a@b\nMapping: 1\nContent-Type: ?\n\n";
    command(text, Pitp, Side::Client, |read| {
        assert!(matches!(read, Ok(Command::Change(c)) if c.document.is_none()))
    });
}

#[test]
fn payloads_that_are_too_large() {
    // TOC-33, TOC-37
    let bounds = Bounds { headers: 1000, count: 9, auth: 1, payload: 1 };
    let oversized = |text: &str, protocol| {
        let (text, mut scratch) = (crlf(text), Scratch::new());
        match Framer::new().step(&text, &bounds, &mut scratch) {
            Step::Oversized(_, message) => Command::oversized(&message, protocol, Side::Client).error_type(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(oversized(">1 send\nContent-Length: 2\n\n", Imtp), ErrorType::Quota);
    assert_eq!(oversized(">1 change\nContent-Length: 2\n\n", Pitp), ErrorType::Quota);
    assert_eq!(oversized(">1 auth\nContent-Length: 2\n\n", Pitp), ErrorType::Resources);
    assert_eq!(oversized(">1 send\nContent-Length: 2\n\n", Pitp), ErrorType::UnknownMethod);
    assert_eq!(oversized(">1 listen\nContent-Length: 2\n\n", Imtp), ErrorType::Malformed);
    assert_eq!(oversized(">1 send\nX\nContent-Length: 2\n\n", Imtp), ErrorType::Malformed);
    assert_eq!(oversized(">1 x\nContent-Length: 2\n\n", Imtp), ErrorType::UnknownMethod);
}
